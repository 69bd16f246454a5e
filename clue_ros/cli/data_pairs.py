"""`clue data pairs PATH`: two people talk about each picture in a browser, and what they say becomes training data."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path
from typing import Any

from clue_ros.cli.data_made import add_pictures


def add_parser(verbs: Any) -> None:
    parser = verbs.add_parser(
        "pairs",
        help="two people make dialogues in a browser: one sees what is meant, the other asks (as InViG was collected)",
    )
    add_pictures(parser)
    parser.add_argument(
        "--output", "-o", required=True, type=Path, metavar="FILE.jsonl", help="dialogues; the same command goes on"
    )
    parser.add_argument(
        "--address", default="127.0.0.1", help="where the pages are served (default: this machine only)"
    )
    parser.add_argument("--port", type=int, default=8770, help="0: any free one (default 8770)")
    parser.add_argument("--host", action="append", default=[], metavar="NAME", help="a further name of this machine")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of which thing of a picture is meant")


def run(args: argparse.Namespace) -> int:
    from clue_ros.console.pair_chat import PairChat
    from clue_ros.console.pair_server import PairServer
    from clue_ros.console.server import Settings
    from clue_ros.data.pictures import open_pictures

    chat = PairChat(open_pictures(args.path, args.format, args.images), args.output, args.seed)
    server = PairServer(chat, Settings(args.address, args.port, allowed_hosts=tuple(args.host)))
    server.start()
    try:
        for role, url in server.urls.items():
            print(f"{role}: {url}", flush=True)
        print("further pairs add &pair=NAME to both; Ctrl-C ends", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()
    print(f"{chat.done} dialogues in {args.output}")
    return 0
