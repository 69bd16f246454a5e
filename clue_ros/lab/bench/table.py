"""The table that the bench prints: one for each subject."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from clue_ros.lab.bench.targets import SHORT

Row = Dict[str, Any]
NARROWEST = 150  # columns of piped output


def print_report(
    subjects: Sequence[Dict[str, Any]], skipped: Sequence[Dict[str, Any]], rows: Sequence[Row], warning: str = ""
) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=NARROWEST)  # piped output keeps whole lines instead of rich's 80 columns
    for subject in subjects:
        own = [r for r in rows if (r["model"], r["device"]) == (subject["model"], subject["device"])]
        console.print(_table(subject, own))
        for line in footnotes(subject):
            console.print(Text(line, style="dim"))
        console.print()
    for skip in skipped:
        console.print(Text(f"{skip['model']} on {skip['device']}: skipped: {skip['reason']}", style="yellow"))
    if warning:
        console.print(Text(f"Note: {warning}", style="yellow"))


def footnotes(subject: Dict[str, Any]) -> List[str]:
    """What the columns mean for this subject."""
    rates, machine = subject["rates"], subject["machine"]
    eyes = f"; {_rate(rates['eyes'])} in bfloat16 for the frozen eyes" if rates.get("eyes") else ""
    lines = [
        f"Machine: {machine.get('gpu') or machine['processor']}, {machine['cores']} cores; measured in this run in "
        f"{rates['dtype']}: {_rate(rates['square'])} (large square), {_rate(rates['vision'])} and "
        f"{_rate(rates['decoder'])} (the "
        f"model's own shapes), reading {rates['read'] / 1e9:.1f} GB/s (large array) and {rates['reread'] / 1e9:.1f} "
        "GB/s (as "
        f"large as the weights){eyes}. Floor: counted matrix products over the best of these rates, or the bytes of "
        "the weights over the bandwidth where that is longer.",
        "Plain: transformers, full depth with output_attentions=True for the map, then generate from pixels with "
        "as many tokens "
        f"as ours, adapters {'beside the weights' if subject['adapters'] else 'none'}; logits of "
        f"{'every row' if subject['plain_computes_all_logits'] else 'the last row only'} in the map's pass.",
    ]
    if subject["plain_is_widened"]:
        lines.append(
            f"Weights are kept in {subject['storage']}, and this processor has no units for it: both paths widen "
            "them to "
            f"{subject['compute']} for products of many rows (the plain path would be several times slower without)."
        )
    if subject["model"] == "3b":
        lines.append(
            "Weights and adapters (LoRA r 16: detector on layer 14, dialogue on all) are random, the tokenizer is "
            "a stand-in "
            "with one token a word, questions have 12 tokens: times and memory mean something, answers do not."
        )
    if not subject["peak_is_clean"]:
        lines.append(
            "This system does not let a process reset its high-water mark: peak memory includes measuring the rates."
        )
    return lines


def _table(subject: Dict[str, Any], rows: Iterable[Row]) -> Table:
    table = Table(
        title=f"{subject['model']} on {subject['device']} · weights {subject['storage']}, products {subject['compute']}"
        f"{'' if subject['quantization'] == 'none' else ', ' + subject['quantization']}",
        title_justify="left",
    )
    table.add_column("step", max_width=46)
    for column in ("p50", "p95", "plain p50", "p95", "ratio", "floor", "× floor"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("target", no_wrap=True)
    for row in rows:
        step = Text(row["title"])
        if row.get("note"):
            step.append(f"\n{row['note']}", style="dim")
        if row.get("tokens"):
            step.append(
                f"  {row['tokens']} tokens" if not row.get("note") else f"; {row['tokens']} tokens", style="dim"
            )
        table.add_row(step, *_cells(row), _verdicts(row))
    return table


def _cells(row: Row) -> List[str]:
    if "peak_bytes" in row:
        return [
            f"{row['peak_bytes'] / 1e9:.2f} GB",
            "",
            f"{row['weight_bytes'] / 1e9:.2f} GB",
            "weights",
            f"{row['times_weights']:.2f}",
            "",
            "",
        ]
    plain = row.get("plain") or {}
    return [
        _time(row["ours"]["p50"]),
        _time(row["ours"]["p95"]),
        _time(plain.get("p50")),
        _time(plain.get("p95")),
        _number(row.get("ratio"), "{:.2f}"),
        _time(row.get("floor_s")),
        _number(row.get("times_floor"), "{:.1f}"),
    ]


def _verdicts(row: Row) -> Text:
    text = Text()
    for target in row.get("targets", []):
        mark, style = SHORT[target["holds"]]
        value = "" if target["value"] is None or "ms" in target["target"] else f" {target['value']:.2f}"
        text.append("\n" if text else "").append(f"{mark} {target['target']}{value}", style=style)
    return text


def _time(seconds: Optional[float]) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _number(value: Optional[float], form: str) -> str:
    return "" if value is None else form.format(value)


def _rate(flops: float) -> str:
    return f"{flops / 1e12:.1f} TFLOP/s" if flops >= 1e12 else f"{flops / 1e9:.0f} GFLOP/s"
