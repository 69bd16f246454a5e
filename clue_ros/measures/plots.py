"""Curves as PNG files and as SVG text (matplotlib, without a display)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, List, Sequence

from clue_ros.measures.results import Curve

COLORS = ("#2563c9", "#d9480f", "#2b8a3e", "#862e9c", "#0b7285", "#5c4408")
SIZE = (5.2, 4.0)  # inches


def draw(curve: Curve) -> Any:
    """A matplotlib Figure of one diagram."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    if curve.diagonal:
        axes.plot([0, 1], [0, 1], color="#9aa0a6", linewidth=1, linestyle="--")
    for number, series in enumerate(curve.series):
        color = COLORS[(number if series.color is None else series.color) % len(COLORS)]
        marker = "o" if curve.markers or len(series.x) == 1 else ""
        axes.plot(
            series.x,
            _numbers(series.y),
            color=color,
            linewidth=1.8,
            marker=marker,
            markersize=4,
            label=_plain(series.label),
        )
        if series.low and series.high:
            axes.fill_between(
                series.x, _numbers(series.low), _numbers(series.high), color=color, alpha=0.15, linewidth=0
            )
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_xlabel(_plain(curve.x_label))
    axes.set_ylabel(_plain(curve.y_label))
    axes.set_title(_plain(curve.title), fontsize=11)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if curve.series:
        axes.legend(frameon=False, fontsize=8, loc="best")
    return figure


def save_plots(curves: Sequence[Curve], folder: Path) -> List[Path]:
    """One PNG a curve, named after it."""
    paths = []
    for curve in curves:
        path = Path(folder) / f"{curve.name}.png"
        draw(curve).savefig(path, dpi=130)
        paths.append(path)
    return paths


def svg(curve: Curve) -> str:
    """The diagram as an <svg> element, text kept as text, without the XML declaration that HTML does not want."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": curve.name}):
        draw(curve).savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _numbers(values: Sequence[Any]) -> List[float]:
    return [float("nan") if v is None else float(v) for v in values]


def _plain(text: str) -> str:
    """'$' would begin a formula."""
    return text.replace("$", r"\$")
