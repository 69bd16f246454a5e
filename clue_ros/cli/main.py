"""`clue VERB ...`: find the verb, run it, and turn expected errors into one line and an exit code.

Exit codes: 0 done, 1 done with failures (a batch line, an evaluation below its bar), 2 wrong use or an expected error,
130 interrupted. A verb's module is imported only when that verb is called, so that `clue ground --help` needs neither
torch nor MuJoCo.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from clue_ros.terminal import any_encoding
from clue_ros.types import ClueError
from clue_ros.version import VERSION

# verb -> (module with add_arguments(parser) and run(args) -> int, one-line help)
DAILY = {
    "ground": ("clue_ros.cli.ground", "find what an instruction means in a photo, or ask"),
    "teach": ("clue_ros.cli.teach", "show the robot a thing once and name it"),
    "mask": ("clue_ros.cli.mask", "what an instruction is about in a photo, as pixels"),
    "chat": ("clue_ros.cli.chat", "ask what is in a photo: an answer whose phrases carry boxes"),
    "serve": ("clue_ros.cli.serve", "hold one model for many robots"),
    "data": ("clue_ros.cli.data", "check, show, convert and filter data sets; make dialogues by machine"),
    "train": ("clue_ros.cli.train", "train a model on rendered scenes"),
    "finetune": ("clue_ros.cli.finetune", "train adapters on a PaliGemma 2 checkpoint"),
    "evaluate": ("clue_ros.cli.evaluate", "measure a model: suites over data sets, scenes and recorded bags"),
    "report": ("clue_ros.cli.report", "results of evaluate as one HTML page"),
}
LABORATORY = {
    "eyes": ("clue_ros.cli.eyes", "make the file of the frozen eyes again from the package that it came from"),
    "scenes": ("clue_ros.cli.scenes", "render tabletop scenes into a data set"),
    "photos": ("clue_ros.cli.photos", "annotated photographs as training data: check them, compose more"),
    "record": ("clue_ros.cli.record", "make a rosbag of rendered scenes and a person who speaks"),
    "curve": ("clue_ros.cli.curve", "what machine-made dialogues add to few true ones"),
    "doctor": ("clue_ros.cli.doctor", "what a model needs of this machine, and whether it computes right there"),
    "bench": ("clue_ros.cli.bench", "time the model beside plain transformers and the machine's limits"),
    "extents": ("clue_ros.cli.extents", "size and position from depth beside the truth of rendered objects"),
    "positions": ("clue_ros.cli.positions", "how far positions are off, by how a driver describes its camera"),
    "faults": ("clue_ros.cli.faults", "break a robot's cameras, clients, clock and disk, and see what the node does"),
    "fleet": ("clue_ros.cli.fleet", "simulated robots on one server beside one by one, and dialogues through faults"),
    "soak": ("clue_ros.cli.soak", "a thousand goals with a live camera: results, memory, latency"),
    "console-load": ("clue_ros.cli.console_load", "what pages of the console cost, and whether the node notices"),
}
VERBS = {**DAILY, **LABORATORY}

NOT_THERE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR)  # a path that the user gave
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no room: the user's to mend, in whatever verb and process it shows


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command line; returns the exit code."""
    any_encoding()
    # Threads that spin while they wait make torch several times slower beside another busy process; read at torch's
    # import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except (ClueError, ModuleNotFoundError) as error:
        print(f"clue: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("clue: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (such as `head`) went away. Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        if error.errno in NOT_THERE and error.filename:
            print(f"clue: {error.filename}: {error.strerror}: give another path", file=sys.stderr)
            return 2
        if error.errno not in FULL:
            raise
        place = f"cannot write {error.filename}" if error.filename else "cannot write"
        print(f"clue: {place}: {error.strerror}: make room, or write elsewhere", file=sys.stderr)
        return 2


def build_parser(arguments: List[str]) -> Tuple[argparse.ArgumentParser, Optional[Callable[[argparse.Namespace], int]]]:
    """The parser of the whole command line, with the arguments of the verb in `arguments`; that verb's function, or
    None.
    """
    parser = argparse.ArgumentParser(
        prog="clue",
        description="Interactive visual grounding that knows when to ask.",
        epilog=f"every day:\n{_lines(DAILY)}\n\nlaboratory, for work on clue_ros itself:\n{_lines(LABORATORY)}",
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action="version", version=f"clue {VERSION}")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", help="one of those below; clue VERB --help")
    wanted = next((argument for argument in arguments if not argument.startswith("-")), None)
    run = None
    for verb, (module_name, summary) in VERBS.items():
        subparser = subparsers.add_parser(
            verb, description=summary[0].upper() + summary[1:] + ".", formatter_class=_Formatter
        )
        if verb == wanted:
            module = importlib.import_module(module_name)
            module.add_arguments(subparser)
            run = module.run
    return parser, run


def _run(arguments: List[str]) -> int:
    parser, run = build_parser(arguments)
    parsed = parser.parse_args(arguments)
    if run is None:
        parser.print_help(sys.stderr)
        return 2
    return int(run(parsed) or 0)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of the examples at the end of a verb's help."""


def _lines(verbs: Dict[str, Tuple[str, str]]) -> str:
    return "\n".join(f"  {verb:<12}  {summary}" for verb, (_, summary) in verbs.items())


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("clue_ros"):
        return f"this verb needs a Python package that is not installed ({text}): pip install {error.name}"
    return text


if __name__ == "__main__":
    sys.exit(main())
