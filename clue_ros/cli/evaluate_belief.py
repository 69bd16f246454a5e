"""`clue evaluate pointing`, `likeness` and `questions --question-policy ...`: belief/ on rendered scenes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence

from clue_ros.cli.loading import add_model_arguments, load_grounder, positive
from clue_ros.types import ClueError

EXAMPLES = """  clue evaluate pointing --scenes 200
  clue evaluate likeness --scenes 200
  clue evaluate questions --scenes 200 --question-policy learned information_gain"""
VERBS = {
    "pointing": "one click as the answer: within the target, and beside it",
    "likeness": '"another one like this" and a click: the same kind and colour, and what is done where it is not one',
    "questions": "dialogues under each question policy: success and number of questions",
}
POLICIES = ("learned", "information_gain")  # that a simulated person, who sees no picture, can answer


def add_parsers(suites: Any) -> None:
    for name, summary in VERBS.items():
        parser = suites.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        add_model_arguments(parser, threshold=False)
        parser.add_argument("--scenes", type=positive, default=200, metavar="N", help="rendered scenes (default 200)")
        parser.add_argument("--first-scene", type=int, default=0, metavar="S", help="scenes S, S+1, ... (default 0)")
        parser.add_argument("--output", "-o", type=Path, metavar="FILE.json", help=f"default out/evaluate/{name}.json")
        if name == "questions":
            parser.add_argument(
                "--question-policy",
                nargs="+",
                choices=POLICIES,
                default=list(POLICIES),
                metavar="POLICY",
                help="learned (the model's own question), information_gain (default both)",
            )
            parser.add_argument("--max-questions", type=positive, default=3, metavar="N", help="a dialogue (default 3)")


def run(args: argparse.Namespace) -> int:
    """Plays, writes the rows after every scene, prints the table. Ctrl-C keeps what there is."""
    from tqdm import tqdm

    from clue_ros.evaluation import belief_suite, likeness_suite

    output = args.output or Path("out/evaluate") / f"{args.what}.json"
    if args.first_scene < 0:
        raise ClueError("--first-scene must be 0 or more")
    grounder = load_grounder(args)
    items = belief_suite.ambiguous_instructions(args.scenes, args.first_scene)
    if args.what == "likeness":
        rows_of = likeness_suite.play(grounder, args.scenes, args.first_scene)
        summarise = likeness_suite.summary
    elif args.what == "pointing":
        rows_of, summarise = belief_suite.play_pointing(grounder, items), belief_suite.pointing_summary
    else:
        rows_of = belief_suite.play_questions(grounder, items, args.question_policy, args.max_questions)
        summarise = belief_suite.questions_summary
    about = {
        "what": args.what,
        "model": str(args.model or "embedded"),
        "scenes": args.scenes,
        "first_scene": args.first_scene,
    }
    rows: List[Dict[str, Any]] = []
    complete = False
    try:
        with tqdm(total=args.scenes, unit="scene", file=sys.stderr, dynamic_ncols=True) as bar:
            for row in rows_of:
                if rows and row["scene"] != rows[-1]["scene"]:
                    bar.update(int(row["scene"]) - args.first_scene - bar.n)
                    _save(output, {**about, "complete": False, "summary": summarise(rows), "rows": rows})
                rows.append(row)
        complete = True
    except KeyboardInterrupt:
        print("\nclue: interrupted; what was played is kept", file=sys.stderr)
    finally:
        grounder.close()
    if rows:
        _save(output, {**about, "complete": complete, "summary": summarise(rows), "rows": rows})
        _print(summarise(rows))
    print(f"{'all' if complete else 'partial'} results: {output}")
    return 0 if complete else 130


def _save(output: Path, content: Dict[str, Any]) -> None:
    """Raises ClueError if the file cannot be written."""
    partial = output.with_name(output.name + ".part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(partial, output)
    except OSError as error:
        raise ClueError(f"cannot write results to {output}: {error.strerror}; choose another --output") from error


def _print(lines: Sequence[Dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = [name for name in lines[0] if not name.endswith("_interval")]
    table = Table(*(name.replace("_", " ") for name in shown), title="With 95 % Wilson intervals", title_justify="left")
    for line in lines:
        table.add_row(*(_cell(line, name) for name in shown))
    console = Console()
    (console if console.is_terminal else Console(width=140)).print(table)


def _cell(line: Dict[str, Any], name: str) -> str:
    value, interval = line[name], line.get(f"{name}_interval")
    if interval is not None:
        return f"{value:.1%} ({interval[0]:.0%}–{interval[1]:.0%})"
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
