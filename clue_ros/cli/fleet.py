"""`clue fleet`: simulated robots on one server, as a table."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from clue_ros.cli.loading import count, positive

EXAMPLES = """examples:
  clue fleet                                 16 robots, the embedded model, two replicas on Ray
  clue fleet --without-ray --robots 4 --dialogues 2 --lost 200
  clue fleet --url http://gpu:8780 --model my-model/     a server that runs already (CLUE_TOKEN_FILE)

Exit code 0: what is exact holds (equal decisions, no dialogue lost); times depend on the machine and are shown beside
their goals. Files: fleet.json, fleet.csv, fleet.png."""
GOALS = (
    ("throughput", "at least", 1.6, "times one by one"), ("p99_over_p50", "at most", 3.0, "p99 over p50"),
    ("slowest_over_median", "at most", 1.5, "slowest robot over the median"),
    ("overhead_ms", "at most", 8.0, "ms more over HTTP than by a call"),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("--model", type=Path, metavar="DIR", help="model directory (default: the embedded model)")
    parser.add_argument("--url", metavar="URL", help="a server with this model that runs already")
    parser.add_argument("--replicas", type=positive, default=2, metavar="N", help="of the server (default 2)")
    parser.add_argument("--without-ray", action="store_true", help="one replica in one process")
    parser.add_argument("--robots", type=positive, default=16, metavar="N", help="(default 16)")
    parser.add_argument("--dialogues", type=positive, default=6, metavar="N", help="of each robot (default 6)")
    parser.add_argument("--lost", type=count, default=1000, metavar="N", help="dialogues through faults (default 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes (default 0)")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("out/fleet"), metavar="DIR", help="(default out/fleet)"
    )


def run(args: argparse.Namespace) -> int:
    from contextlib import ExitStack

    from clue_ros.fleet import load
    from clue_ros.fleet.remote import TOKEN_FILE, read_token
    from clue_ros.grounder import Grounder

    def say(text: str) -> None:
        print(f"fleet: {text}", file=sys.stderr, flush=True)

    serve = ["serve", "--port", "8791", *(["--model", str(args.model)] if args.model else [])]
    serve += ["--without-ray"] if args.without_ray else ["--replicas", str(args.replicas)]
    grounder = Grounder.from_pretrained(args.model)
    grounder.warm_up()
    with ExitStack() as stack:
        url = args.url or stack.enter_context(load.Server(serve, args.output / "server.log")).url
        token = read_token(os.environ.get(TOKEN_FILE)) if args.url else ""
        speed = load.speed(grounder, url, args.robots, args.dialogues, args.seed, token, say)
    grounder.close()
    lost = load.losses(args.output / "scripted.log", args.robots, args.lost, 0.02, 4, say) if args.lost else {}
    results = {
        "speed": speed, "lost": lost, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1),
        "server": args.url or " ".join(serve[3:]),
    }  # fmt: skip
    load.write(results, args.output)
    for name, how, goal, words in GOALS:
        held = speed[name] >= goal if how == "at least" else speed[name] <= goal
        print(f"{'held' if held else 'NOT held':<9} {speed[name]:>8}  {words} (goal: {how} {goal:g})")
    verdict = "held" if speed["equal_decisions"] else "NOT held"
    print(f"{verdict:<9} {'':>8}  equal decisions, {speed['requests']} requests")
    exact = speed["equal_decisions"]
    if lost:
        kept = lost["ended"] == lost["dialogues"] and not lost["wrong"]
        exact = exact and kept
        print(
            f"{'held' if kept else 'NOT held':<9} {lost['dialogues'] - lost['ended'] + lost['wrong']:>8}  of "
            f"{lost['dialogues']} dialogues lost or wrong: {lost['kills']} servers ended, {lost['cut']} of "
            f"{lost['exchanges']} exchanges cut"
        )
    print(f"load {results['load']} on {results['cores']} cores; {args.output}/fleet.json, .csv, .png")
    return 0 if exact else 1
