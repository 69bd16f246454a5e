"""`clue serve`: one model for many robots."""

from __future__ import annotations

import argparse
import os
import signal
import threading

from clue_ros.cli.loading import add_model_arguments, load_grounder, positive

EXAMPLES = """examples:
  clue serve                                            the embedded model, for programs on this machine
  clue serve --model my-model/ --device cuda --token-file token --host 0.0.0.0

A robot then runs with model:=http://HOST:8780 and CLUE_TOKEN_FILE=token. Ctrl-C lets what runs end, then stops.
docs/fleet.md says more."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    add_model_arguments(parser, threshold=False)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8780, help="port (default 8780; 0: any free one)")
    parser.add_argument("--token-file", metavar="FILE", help="file with the token; needed where others reach --host")
    parser.add_argument("--images", type=positive, default=64, metavar="N", help="seen images it keeps")
    parser.add_argument("--waiting", type=positive, default=64, metavar="N", help="requests it lets wait")


def run(args: argparse.Namespace) -> int:
    from clue_ros.fleet.keeper import Limits
    from clue_ros.fleet.local import LocalServer, check_address
    from clue_ros.fleet.remote import read_token

    token, limits = read_token(args.token_file), Limits(images=args.images, waiting=args.waiting)
    check_address(args.host, token)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    grounder = load_grounder(args)
    grounder.warm_up()
    with LocalServer(grounder, args.host, args.port, token, limits) as server:
        print(f"serving on {server.url} (process {os.getpid()})", flush=True)
        stop.wait()
    grounder.close()
    return 0
