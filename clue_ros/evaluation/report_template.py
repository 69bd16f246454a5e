"""The page of `clue report` (jinja2, autoescaped). It loads nothing: styles and pictures stand in the file itself."""

from __future__ import annotations

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: #1d2127;
       background: #f6f7f9; margin: 0; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; }
h2 { font-size: 20px; margin: 0 0 2px; }
h3 { font-size: 15px; margin: 22px 0 6px; }
nav { margin: 10px 0 18px; }
nav a { margin-right: 16px; }
a { color: #1f5fbf; }
section { background: #fff; border: 1px solid #e2e5ea; border-radius: 10px; padding: 18px 22px 22px; margin: 18px 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 14px 4px 0; text-align: right; white-space: nowrap; border-bottom: 1px solid #eceef1; }
th { font-weight: 600; color: #555d68; }
th { white-space: normal; max-width: 16em; overflow-wrap: anywhere; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 11em; }
nav a { display: inline-block; }
.range { position: relative; display: inline-block; width: 140px; height: 12px; background: #eceef1;
         border-radius: 6px; }
.range i { position: absolute; top: 3px; height: 6px; background: #8fb4ea; border-radius: 3px; min-width: 2px; }
.range b { position: absolute; top: 0; width: 3px; height: 12px; background: #1f5fbf; margin-left: -1px; }
.range u { position: absolute; top: -2px; width: 0; height: 16px; border-left: 2px dotted #8a5a00; margin-left: -1px; }
th.group { text-align: left; color: #1d2127; border-bottom: 2px solid #8fb4ea; padding-left: 14px; }
th.first, td.first { padding-left: 14px; }
.yes { color: #1e7a34; } .no { color: #b3261e; } .muted { color: #6a727d; font-size: 13px; }
.note { background: #fff7e0; border-left: 3px solid #d9a400; padding: 6px 10px; margin: 10px 0; }
.plots { display: flex; flex-wrap: wrap; gap: 14px; }
.plots img { width: 420px; max-width: 100%; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(480px, 100%), 1fr)); gap: 16px; }
figure { margin: 0; } figure img { width: 100%; border-radius: 6px; border: 1px solid #e2e5ea; }
figcaption { font-size: 13px; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; font-size: 13px; }
dt { color: #6a727d; } dd { margin: 0; overflow-wrap: anywhere; }
</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
<p class="muted">clue {{ version }}. Figures with bootstrap 95 % intervals in brackets, images drawn together.</p>
{% if runs|length > 1 %}
<nav>{% for run in runs %}<a href="#run{{ loop.index }}">{{ run.name }}</a>{% endfor %}</nav>
{% endif %}
{% for overview in overviews %}
<section><h2>{{ overview.title }}</h2>{{ table(overview) }}</section>
{% endfor %}
{% for run in runs %}
<section id="run{{ loop.index }}">
<h2>{{ run.results.title }}</h2>
<p class="muted">{{ run.name }}</p>
{% if run.results.explanation %}<p>{{ run.results.explanation }}</p>{% endif %}
{% if not run.results.complete %}
<p class="note">This run was interrupted: the figures are of what had been done.</p>
{% endif %}
{% if run.results.measures %}
<div class="scroll"><table>
{% if run.conditions[0] %}<tr><th></th>\
{% for c in run.conditions %}<th class="group" colspan="4">{{ c }}</th>{% endfor %}</tr>
{% endif %}
<tr><th>figure</th>{% for c in run.conditions %}<th class="first">value (95 % interval)</th>\
<th></th><th>count</th><th>goal</th>{% endfor %}</tr>
{% for label, found in run.lines %}
<tr><td>{{ label }}</td>{% for m in found %}{% if m is none %}<td class="first" colspan="4"></td>{% else %}
<td class="first">{{ shown(m.estimate, m.form) }}</td>
<td>{% if m.form != "number" and m.estimate.low is not none %}<span class="range" aria-hidden="true">\
<i style="left:{{ percent(m.estimate.low) }}%;width:{{ percent(m.estimate.high - m.estimate.low) }}%"></i>\
<b style="left:{{ percent(m.estimate.value) }}%"></b>\
{% if m.goal is not none %}<u style="left:{{ percent(m.goal) }}%"></u>{% endif %}</span>{% endif %}</td>
<td>{{ m.estimate.count }}</td>
<td class="{{ {True: 'yes', False: 'no'}.get(m.reached, '') }}">{{ goal(m) }}\
{{ {True: ' reached', False: ' not reached'}.get(m.reached, '') }}</td>{% endif %}{% endfor %}</tr>
{% endfor %}
</table></div>
<p class="muted">Bars run from 0 to 1 (100 %): the dark tick is the figure, the light band its interval, the dotted line
the goal. Counts are of instructions, boxes or turns; "reached" looks at the figure, not at its interval.</p>
{% endif %}
{% for note in run.results.notes %}<p class="note">{{ note }}</p>{% endfor %}
{% if run.curves %}<h3>Curves</h3><div class="plots">
{% for curve in run.curves %}<img src="{{ curve.uri }}" alt="{{ curve.title }}">{% endfor %}</div>{% endif %}
{% for t in run.results.tables %}<h3>{{ t.title }}</h3>{{ table(t) }}{% endfor %}
{% for heading, pictures in run.galleries %}
{% if pictures %}<h3>{{ heading }}</h3>
<p class="muted">The first {{ pictures|length }} of the run, not chosen. Bright regions: where the model attends for the
words; in brackets below a failure: what went wrong.</p><div class="gallery">
{% for p in pictures %}<figure><img src="{{ p.uri }}" alt="{{ p.title }}">\
<figcaption>{{ p.title }}</figcaption></figure>{% endfor %}
</div>{% endif %}
{% endfor %}
<h3>What was run</h3>
<dl>{% for key, value in run.results.about.items() %}<dt>{{ key }}</dt><dd>{{ value }}</dd>{% endfor %}</dl>
</section>
{% endfor %}
</main>
</body>
</html>
"""

TABLE = """<div class="scroll"><table><tr>{% for c in t.columns %}<th>{{ c }}</th>{% endfor %}</tr>
{% for row in t.rows %}<tr>{% for cell in row %}<td>{{ shown(cell, t.form) }}</td>{% endfor %}</tr>{% endfor %}
</table></div>"""
