"""What `clue doctor` prints."""

from __future__ import annotations

from typing import List, Optional

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from clue_ros.lab.bench.targets import SHORT
from clue_ros.lab.doctor.outlook import GIB, Outlook
from clue_ros.lab.doctor.run import Report, Row

NARROWEST = 150  # columns of piped output
_MARK = {True: ("same", "green"), False: ("DIFFERS", "bold red"), None: ("", "")}


def console() -> Console:
    own = Console()
    return own if own.is_terminal else Console(width=NARROWEST)


def print_outlook(outlook: Outlook, out: Console) -> None:
    for name, text in outlook.lines.items():
        out.print(Text(f"{name:>12}  ", style="dim") + Text(text))


def print_report(report: Report, out: Console) -> None:
    table = Table(title=f"{report.order.model} on {report.order.device}", title_justify="left")
    table.add_column("variant", no_wrap=True)
    table.add_column("beside", no_wrap=True)
    for column in ("logits", "map", "token", "vision", "detection", "box", "question", "peak"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for row in report.rows:
        table.add_row(*_cells(row))
        for finding in row.findings:
            table.add_row(
                f"  {finding.choice}", "without", f"{finding.difference:.2g} of {finding.allowed:.2g}", "",
                f"{_ms(finding.seconds)} | {_ms(finding.plain_seconds)}", "", "", "", "", "", _mark(not finding.remark),
            )  # fmt: skip
    out.print(table)
    for line in _below(report):
        out.print(line)


def _cells(row: Row) -> List[RenderableType]:
    distance = "" if row.distance is None else f"{row.distance:.2g} of {row.limits[0]:g}"
    spread = "" if row.map_distance is None else f"{row.map_distance:.2g} of {row.limits[1]:g}"
    times = [_ms(row.times.get(name)) for name in ("token", "vision", "detection", "box", "question")]
    peak = f"{row.peak / GIB:.2f} GiB" if row.peak else ""
    return [row.name, row.beside, distance, spread, *times, peak, _mark(row.same)]


def _below(report: Report) -> List[Text]:
    lines = [Text(f"{row.name}: {row.note}", style="yellow") for row in report.rows if row.note]
    for row in report.rows:
        lines += [Text(f"{row.name}: {f.remark}", style="red") for f in row.findings if f.remark]
        for target in row.targets:
            mark, style = SHORT[target["holds"]]
            lines.append(Text(f"{mark} {row.name}, {target['row']} {_ms(target['seconds'])} {target['target']}", style))
    lines.append(
        Text(
            "Something differs: answers on this device cannot be trusted with it. Send the JSON in."
            if report.differs
            else "The fast path gives what the plain one gives.",
            style="bold",
        )
    )
    return lines


def _mark(same: Optional[bool]) -> Text:
    return Text(*_MARK[same])


def _ms(seconds: Optional[float]) -> str:
    return "" if seconds is None else f"{seconds * 1e3:.0f} ms" if seconds >= 0.1 else f"{seconds * 1e3:.1f} ms"
