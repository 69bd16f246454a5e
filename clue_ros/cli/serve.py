"""`clue serve`: one model for many robots, on Ray Serve or in this process."""

from __future__ import annotations

import argparse
import os
import signal
import threading

from clue_ros.cli.loading import add_model_arguments, load_grounder, positive

EXAMPLES = """examples:
  clue serve --token-file token --host 0.0.0.0          the embedded model on all cores of this machine
  clue serve --model my-model/ --device cuda --replicas 2 --gpus 0.5
  clue serve --address auto --replicas 4 --gpus 1       on the Ray cluster of this machine
  clue serve --without-ray                              one replica in this process; nothing to install

A robot then runs with model:=http://HOST:8780 and CLUE_TOKEN_FILE=token. Ctrl-C lets what runs end, then stops.
docs/fleet.md has a cluster, sizes and figures."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    add_model_arguments(parser, threshold=False)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8780, help="port (default 8780; 0: any, without Ray only)")
    parser.add_argument("--token-file", metavar="FILE", help="file with the token; needed where others reach --host")
    parser.add_argument("--replicas", type=positive, default=1, metavar="N", help="copies of the model (default 1)")
    parser.add_argument("--gpus", type=float, default=0.0, metavar="X", help="GPUs of each replica, 0.5: two share one")
    parser.add_argument("--address", metavar="ADDRESS", help="of a Ray cluster, or auto (default: a Ray of its own)")
    parser.add_argument("--images", type=positive, default=64, metavar="N", help="seen images a replica keeps")
    parser.add_argument("--waiting", type=positive, default=64, metavar="N", help="requests a replica lets wait")
    parser.add_argument("--without-ray", action="store_true", help="one replica in this process")


def run(args: argparse.Namespace) -> int:
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]
    try:
        return _serve(args, stop)
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)


def _serve(args: argparse.Namespace, stop: threading.Event) -> int:
    """Until `stop` is set."""
    from clue_ros.fleet.keeper import Limits
    from clue_ros.fleet.remote import read_token

    token, limits = read_token(args.token_file), Limits(images=args.images, waiting=args.waiting)
    if args.without_ray:
        from clue_ros.fleet.local import LocalServer, check_address

        check_address(args.host, token)
        grounder = load_grounder(args)
        grounder.warm_up()
        with LocalServer(grounder, args.host, args.port, token, limits) as server:
            print(f"serving on {server.url} (process {os.getpid()})", flush=True)
            stop.wait()
        grounder.close()
        return 0
    from clue_ros.fleet.on_ray import Plan, serving

    plan = Plan(
        model=None if args.model is None else str(args.model.resolve()), device=args.device, dtype=args.dtype,
        quantization=args.quantization, glances=args.glances, replicas=args.replicas, gpus=args.gpus, token=token,
        limits=limits,
    )  # fmt: skip
    with serving(plan, args.host, args.port, args.address) as url:
        print(f"serving on {url} ({args.replicas} replicas)", flush=True)
        stop.wait()
    return 0
