"""`clue data filter` and `clue data dialogues`: from images with boxes to dialogues made by machine
(clue_ros/annotation).
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any, Dict, cast

from clue_ros.cli.loading import add_ray, positive, sharing
from clue_ros.processes import in_processes
from clue_ros.types import ClueError

FORMATS = ("auto", "lines", "coco", "openimages", "sam", "scenes", "samples")  # those of clue_ros.data.instances
ORACLES = ("auto", "scene", "model", "options")


def add_parsers(verbs: Any) -> None:
    filter_ = verbs.add_parser("filter", help="keep the images that are worth a dialogue (InViG's Bayesian filter)")
    add_pictures(filter_)
    filter_.add_argument(
        "--sorted",
        required=True,
        type=Path,
        metavar="FILE.jsonl",
        help='images with boxes sorted by hand: lines with "suitable": true or false',
    )
    filter_.add_argument("--output", "-o", required=True, type=Path, metavar="FILE.jsonl", help="the images that stay")
    filter_.add_argument(
        "--at-least", type=int, default=2, metavar="N", help="objects of one class that an image must hold (default 2)"
    )
    filter_.add_argument("--exclude", nargs="+", default=[], metavar="CLASS", help="images with such a thing go")
    made = verbs.add_parser("dialogues", help="captioner, questioner, oracle and guesser make dialogues about images")
    add_pictures(made)
    made.add_argument(
        "--output",
        "-o",
        required=True,
        type=Path,
        metavar="FOLDER",
        help="dialogues.jsonl and tried.jsonl; the same command goes on with it",
    )
    made.add_argument("--count", type=int, metavar="N", help="stop at so many dialogues (default: all images once)")
    made.add_argument("--per-image", type=int, default=1, metavar="N", help="targets of an image, by area (default 1)")
    made.add_argument("--max-questions", type=int, default=3, metavar="N", help="of a dialogue (default 3)")
    made.add_argument("--asked-only", action="store_true", help="drop what needed no question")
    made.add_argument("--seed", type=int, default=0, metavar="S", help="the same seed, the same dialogues (default 0)")
    made.add_argument(
        "--oracle",
        choices=ORACLES,
        default="auto",
        help="who answers: the scene's truth, a model trained to answer, or, of the options that a question "
        "offers, the one that the model grounds at the target (default: the first that can)",
    )
    made.add_argument("--model", type=Path, metavar="DIR", help="default: the embedded model")
    made.add_argument("--device", default="cpu")
    made.add_argument("--processes", type=positive, metavar="N", help="share the images among N processes (default 1)")
    add_ray(made)
    made.add_argument("--fresh", action="store_true", help="throw away what a former run has left in the folder")
    chats = verbs.add_parser("chats", help="a language model writes chats with boxes (LLaVA-Grounding's data)")
    add_pictures(chats)
    chats.add_argument("--captions", type=Path, metavar="FILE.json", help="captions_*.json of COCO")
    chats.add_argument(
        "--output", "-o", required=True, type=Path, metavar="FOLDER", help="chat.jsonl and phrases.jsonl; goes on"
    )
    chats.add_argument(
        "--model-command",
        required=True,
        nargs=argparse.REMAINDER,
        metavar="PROGRAM ARGUMENT",
        help="last on the line: a local program, no shell; a line of JSON in, one out (docs/data.md)",
    )
    hook = made.add_mutually_exclusive_group()
    hook.add_argument("--paraphrase-file", type=Path, metavar="FILE.jsonl", help="paraphrases by sentence")
    hook.add_argument(
        "--paraphrase-command",
        nargs=argparse.REMAINDER,
        metavar="PROGRAM ARGUMENT",
        help="last on the line: a local program with its arguments, no shell; a line of JSON in, one out",
    )


def add_pictures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, metavar="PATH", help="images with boxes (docs/data.md)")
    parser.add_argument("--format", choices=FORMATS, default="auto", help="default: found out")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="where the images are, if not beside PATH")


def run_filter(args: argparse.Namespace) -> int:
    from collections import Counter

    from clue_ros.data.instances import to_line
    from clue_ros.data.pictures import open_pictures
    from clue_ros.lab.annotation.suitability import Suitability, classes_of, rejected
    from clue_ros.problems import Problems

    problems, counts = Problems(), Counter()
    model = Suitability.fit(open_pictures(args.sorted, images=args.images, problems=problems))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    base = args.images or (args.path if args.path.is_dir() else args.path.parent)
    partial = args.output.with_name(args.output.name + ".partial")
    with open(partial, "w", encoding="utf-8") as file:
        for picture in open_pictures(args.path, args.format, args.images, problems):
            reason = rejected(picture, model, args.at_least, args.exclude)
            counts[reason or "kept"] += 1
            if not reason:
                name = Path(os.path.relpath(os.path.abspath(picture.image.path), os.path.abspath(base))).as_posix()
                file.write(to_line(picture, name, probability=round(model.probability(classes_of(picture)), 4)) + "\n")
    partial.replace(args.output)
    _report(problems)
    print(
        f"sorted by hand: {model.positives} suitable, {model.negatives} not; "
        + ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    )
    print(f"{counts['kept']} images: {args.output}; their names are relative to {base}: read it with --images {base}")
    return 0


def run_dialogues(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from clue_ros.data.pictures import detect, open_pictures
    from clue_ros.evaluation.subject import Subject
    from clue_ros.lab.annotation.maker import KEPT, Maker, Output, make
    from clue_ros.problems import Problems

    if min(args.per_image, args.max_questions + 1) < 1 or (args.count is not None and args.count < 1):
        raise ClueError("--count and --per-image must be 1 or more, --max-questions 0 or more")
    if not args.path.exists():
        raise ClueError(f"{args.path}: there is no such file or folder")
    form = detect(args.path) if args.format == "auto" else args.format
    images = args.images or (args.path if args.path.is_dir() else args.path.parent)
    problems = Problems()
    subject = Subject.load(args.model, args.device)
    maker, shared = None, sharing(args.processes, args.ray, device=args.device)
    try:
        oracle = _oracle_name(args, form, subject)
        output = Output(args.output, _about(args, subject, form, oracle), images, args.fresh)
        if shared.alone:
            maker = _maker(args, subject, oracle)
            dialogues = partial(map, maker.dialogues)
        else:
            args.path, images = args.path.absolute(), images.absolute()
            args.model = args.model and args.model.absolute()
            dialogues = partial(in_processes, shared, partial(_maker_there, args, oracle), Maker.dialogues)
        with tqdm(total=args.count, unit="dialogue", file=sys.stderr, dynamic_ncols=True, disable=None) as bar:
            pictures = open_pictures(args.path, form, args.images and images, problems)
            counts = make(pictures, dialogues, output, args.count, bar.update)
    except KeyboardInterrupt:
        print(f"\nclue: interrupted; the same command goes on where it stopped: {args.output}", file=sys.stderr)
        return 130
    finally:
        if maker is not None and maker.paraphraser is not None:
            maker.paraphraser.close()
        subject.close()
    _report(problems)
    print(
        f"{counts[KEPT]} dialogues: {output.dialogues} (images: --images {images}); "
        + ", ".join(f"{count} {what}" for what, count in sorted(counts.items()) if what != KEPT and count)
    )
    return 0


def run_chats(args: argparse.Namespace) -> int:
    from clue_ros.data.line_program import LineProgram
    from clue_ros.data.pictures import open_pictures
    from clue_ros.lab.annotation.chats import KEPT, captions_of, make_chats
    from clue_ros.problems import Problems

    problems, captions = Problems(), captions_of(args.captions) if args.captions else {}
    program = LineProgram("model command", args.model_command, 600.0)  # a model is loaded before the first answer
    try:
        counts = make_chats(
            open_pictures(args.path, args.format, args.images, problems), captions, program, args.output
        )
    finally:
        program.close()
    _report(problems)
    rejected = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()) if what != KEPT)
    print(f"{counts[KEPT]} chats: {args.output}/chat.jsonl, phrases.jsonl; rejected: {rejected or 'none'}")
    return 0


def _about(args: argparse.Namespace, subject, form: str, oracle: str) -> Dict[str, Any]:
    paraphrase = str(args.paraphrase_file or "") or " ".join(args.paraphrase_command or ())
    return {
        "data": str(args.path),
        "format": form,
        "seed": args.seed,
        "per_image": args.per_image,
        "oracle": oracle,
        "max_questions": args.max_questions,
        "asked_only": args.asked_only,
        "paraphrase": paraphrase,
        **subject.about(),
    }


def _oracle_name(args: argparse.Namespace, form: str, subject) -> str:
    if args.oracle == "scene" and form != "scenes":
        raise ClueError(f"--oracle scene needs rendered scenes, and {args.path} is of the format {form}")
    if args.oracle != "auto":
        return args.oracle
    return "scene" if form == "scenes" else "model" if subject.can_answer else "options"


def _maker(args: argparse.Namespace, subject, oracle: str):
    from clue_ros.data.sample import Sample
    from clue_ros.evaluation.oracle import choose_oracle
    from clue_ros.lab.annotation.maker import Maker, Talker
    from clue_ros.lab.annotation.paraphrase import CommandParaphraser, FileParaphraser
    from clue_ros.lab.annotation.roles import NamingCaptioner, OptionPerson

    captioner = NamingCaptioner(subject)
    knows = None
    if oracle != "options":
        knows = choose_oracle(oracle, subject, args.path, "scenes" if oracle == "scene" else "", args.seed)

    def person(picture, target, rgb, seen) -> Talker:
        if knows is None:
            return OptionPerson(subject, captioner, rgb, seen, target)
        # Scenes and models answer in words, never by a gesture.
        return cast(Talker, knows.person(Sample(f"{picture.key}/0", picture.image, "", boxes=(target,)), rgb))

    paraphraser = None
    if args.paraphrase_command:
        paraphraser = CommandParaphraser(args.paraphrase_command)
    elif args.paraphrase_file:
        paraphraser = FileParaphraser(args.paraphrase_file)
    return Maker(
        subject.grounder, captioner, person, paraphraser, args.max_questions, args.per_image, args.seed, args.asked_only
    )


def _maker_there(args: argparse.Namespace, oracle: str):
    """In a process of its own, with a model of its own."""
    from clue_ros.evaluation.subject import Subject

    return _maker(args, Subject.load(args.model, args.device), oracle)


def _report(problems) -> None:
    for problem in problems.first:
        print(f"clue: {problem}", file=sys.stderr)
    if problems.total:
        print(f"clue: {problems.total} records could not be used", file=sys.stderr)
