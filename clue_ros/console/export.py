"""One self-contained HTML file of a session, for a bug report: what was said, read and found, with its images
inline.
"""

from __future__ import annotations

import base64
import json
import platform
from datetime import datetime, timezone
from typing import Any, Dict, Optional

from jinja2 import Environment

from clue_ros.console.feed import finite
from clue_ros.console.pictures import Pictures, ids_in
from clue_ros.console.state import ConsoleState
from clue_ros.version import VERSION


def _figure(value: Any) -> str:
    """0.12; a dash for what a robot could not say as a number."""
    return f"{value:.2f}" if isinstance(value, (int, float)) else "–"


_ENVIRONMENT = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
_ENVIRONMENT.filters["figure"] = _figure
_TEMPLATE = _ENVIRONMENT.from_string("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>clue_ros session of {{ made }}</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top; }
figure div { position: relative; width: 20rem; }
figure img { width: 100%; display: block; }
figure img.map { position: absolute; inset: 0; height: 100%; opacity: .5; mix-blend-mode: screen; }
figure svg { position: absolute; inset: 0; width: 100%; height: 100%; }
rect { fill: none; stroke-width: 3; vector-effect: non-scaling-stroke; }
.region { stroke: #fff; } .target { stroke: #00d26a; }
section { border-top: 1px solid; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .1rem .8rem .1rem 0; vertical-align: top; }
</style>
<h1>clue_ros session</h1>
<p>Made {{ made }} by clue_ros {{ version }} on {{ system }}. Everything below also stands as JSON at the end of this file.</p>
<h2>Connection</h2>
<p>node {{ state.connection.node }} · camera {{ state.connection.camera }} · model {{ state.connection.model or "unknown" }}
{%- if state.connection.advice %} · {{ state.connection.advice }}{% endif %}</p>
<h2>Dialogues</h2>
{% for dialogue in dialogues %}
<section>
<h3>{{ dialogue.turns[0].text if dialogue.turns else dialogue.id }}</h3>
<p>{{ dialogue.outcome }} · {{ dialogue.source }} · {{ dialogue.id }}
{%- if dialogue.error %} · {{ dialogue.error.name }} ({{ dialogue.error.code }}): {{ dialogue.error.text }}{% endif %}</p>
<table>
{% for turn in dialogue.turns %}
<tr><th>{{ turn.speaker }}</th><td>{{ turn.text }}</td></tr>
{% endfor %}
</table>
{% for reading in dialogue.readings %}
<figure>
{% if reading.frame in images %}
<div>
<img alt="the camera image of reading {{ reading.step }}" src="{{ images[reading.frame].url }}">
{% if reading.map in images %}
<img class="map" alt="its attention map" src="{{ images[reading.map].url }}">
{% endif %}
<svg viewBox="0 0 {{ images[reading.frame].width }} {{ images[reading.frame].height }}" preserveAspectRatio="none">
{% for box in reading.regions %}
<rect class="region" x="{{ box.x }}" y="{{ box.y }}" width="{{ box.width }}" height="{{ box.height }}"/>
{% endfor %}
{% if loop.last and dialogue.target %}
<rect class="target" x="{{ dialogue.target.x }}" y="{{ dialogue.target.y }}" width="{{ dialogue.target.width }}" \
height="{{ dialogue.target.height }}"/>
{% endif %}
</svg>
</div>
{% endif %}
<figcaption>{{ reading.step }}: P(ambiguous) {{ reading.probability|figure }}, threshold \
{{ reading.threshold|figure }}{% if reading.latency_s is not none %}, \
{{ reading.latency_s|figure }} s{% endif %}</figcaption>
</figure>
{% endfor %}
{% if dialogue.target %}
<p>target ({{ dialogue.target.x }}, {{ dialogue.target.y }}), {{ dialogue.target.width }} × {{ dialogue.target.height }} \
pixels, confidence {{ dialogue.target.confidence|figure }}{% if dialogue.target.position %}, position \
{{ dialogue.target.position }} m in {{ dialogue.target.frame_id }}{% endif %}</p>
{% endif %}
</section>
{% else %}
<p>There was none.</p>
{% endfor %}
<h2>Goals</h2>
<table>
{% for goal in state.goals %}
<tr><td>{{ goal.expression }}</td><td>{{ goal.state }}</td><td>{{ goal.elapsed_s }} s</td><td>{{ goal.error }}</td></tr>
{% endfor %}
</table>
<h2>Health</h2>
<table>
{% for line in state.health %}
<tr><td>{{ line.name }}</td><td>{{ line.level }}</td><td>{{ line.message }}</td>
<td>{% for pair in line["values"] %}{{ pair[0] }} {{ pair[1] }} {% endfor %}</td></tr>
{% endfor %}
</table>
<script type="application/json" id="session">{{ json|safe }}</script>
</html>
""")


def export_html(state: ConsoleState, pictures: Pictures) -> str:
    """The page. Text of people and robots is escaped; nothing in it runs or is loaded."""
    records, snapshot = finite(state.records()), finite(state.snapshot())
    images: Dict[int, Dict[str, Any]] = {}
    for record in records:
        for number in ids_in(record):
            image = images[number] if number in images else _image(pictures, number)
            if image is not None:
                images[number] = image
    content = {
        "made": _now(),
        "version": VERSION,
        "dialogues": records,
        "connection": snapshot["connection"],
        "goals": snapshot["goals"],
        "health": snapshot["health"],
        "images": {
            str(number): {key: image[key] for key in ("mime", "width", "height")} for number, image in images.items()
        },
    }
    return _TEMPLATE.render(
        made=content["made"], version=VERSION, system=platform.platform(), state=snapshot, dialogues=records,
        images=images, json=_script_json(content),
    )  # fmt: skip


def _image(pictures: Pictures, number: int) -> Optional[Dict[str, Any]]:
    picture = pictures.get(number)
    if picture is None:
        return None
    header = json.loads(picture.data[4 : len(picture.data) - len(picture.body)])
    url = f"data:{picture.mime};base64,{base64.b64encode(picture.body).decode()}"
    return {"url": url, "mime": picture.mime, "width": header["width"], "height": header["height"]}


def _script_json(content: Any) -> str:
    """JSON that cannot end the script element that it stands in."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
