"""`clue evaluate grounding|dialogue|ambiguity|interactive DATA` and `clue evaluate tabletop`: what they share is the
output folder (results.json, summary.csv, rows.csv, plots, pictures), which a second run of the same goes on with."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Optional

from clue_ros.cli import evaluate_chat, evaluate_other, evaluate_vqa
from clue_ros.cli.data import FORMATS
from clue_ros.cli.figures import print_results
from clue_ros.cli.loading import add_model_arguments, add_ray, count, positive, sharing
from clue_ros.types import ClueError

EXAMPLES = """  clue evaluate tabletop --scenes 500 --processes 2
  clue evaluate ambiguity dataset1.csv --split test --model DIR
  clue evaluate grounding /data/invig --split test --model DIR --against out/evaluate/other
  clue evaluate photographs clue_ros/examples/photographs/photographs.jsonl
  clue evaluate taught scenes/own --limit 100 --model DIR
  clue evaluate chat --scenes 200
  clue evaluate chat instances_val2017.json --images val2017 --limit 1000 --model DIR
  clue evaluate dialogue /data/invig --model DIR --oracle-model runs/oracle
  clue evaluate interactive /data/invig --model DIR --oracle-command python3 my_oracle.py
  clue evaluate grounding /data/invig --predictions tio.jsonl
  clue evaluate ambiguity dataset1.csv --model-command python3 my_vlm.py
  clue evaluate vqa vstar_bench/test_questions.jsonl --answer-command python3 my_vlm.py"""
SUITES = {
    "tabletop": "the model card's table, on rendered scenes of fixed test seeds",
    "ambiguity": "ambiguous or not, on data with labels: F1, ROC, reliability, by expression type",
    "photographs": 'real pictures: right boxes, questions and "not found" at once, and what a click then settles',
    "grounding": "boxes, with the dialogue, without its last turns, among the listed objects; Acc over IoU",
    "masks": "pixels of targets (mIoU, cIoU) and relevance of instructions, on rendered scenes",
    "taught": "things shown in one scene and asked for by a made-up name in others",
    "segmentation": "pixels of what an expression means (RES: mIoU, cIoU), on RefCOCO, + and g; IVM-Mix-1M's relevance",
    "vqa": "questions with options, answered by your program about the whole picture and the focused one (V*Bench)",
    "dialogue": "questions and answers: Recall@1/5 and mean rank among candidates, BLEU, METEOR, ROUGE-L, CIDEr",
    "chat": "answers with boxes: grounded recall, precision and F1, on rendered scenes or images with named boxes",
    "interactive": "whole dialogues with a simulated person: success, questions, asked when nothing needs asking",
}
DECIDING = ("tabletop", "ambiguity", "photographs", "interactive")  # whether to ask, by --threshold
CONDITIONS = ("both", "in", "out")  # those of clue_ros.evaluation.tabletop_conditions
GESTURES = ("click", "box", "recorded")  # of them, for photographs
ORACLES = ("auto", "scene", "model", "recorded", "click", "box")  # those of clue_ros.evaluation.oracle


def add_parsers(suites: Any) -> None:
    """One sub-parser a suite."""
    for name, summary in SUITES.items():
        parser = suites.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == "chat":
            evaluate_chat.add_arguments(parser)
        elif name in ("masks", "taught"):
            _add_scenes(parser)
            if name == "taught":
                parser.add_argument(
                    "--fit", action="store_true", help="fit the bounds for this model's eyes, into its taught_rule.json"
                )
        elif name == "vqa":
            evaluate_vqa.add_arguments(parser)
        elif name != "tabletop":
            _add_data(parser)
        add_model_arguments(parser, threshold=name in DECIDING)
        parser.add_argument("--output", "-o", type=Path, metavar="FOLDER", help=f"default out/evaluate/{name}")
        parser.add_argument("--fresh", action="store_true", help="throw away what a former run has left in the folder")
        parser.add_argument(
            "--against",
            type=Path,
            metavar="FOLDER",
            help="compare with this run of another model on the same items, pairwise",
        )
        parser.add_argument(
            "--pictures",
            type=count,
            default=6,
            metavar="N",
            help="keep pictures of N successes and N failures (default 6)",
        )
        if name == "tabletop":
            parser.add_argument(
                "--scenes", type=positive, default=500, metavar="N", help="scenes of each condition (default 500)"
            )
            parser.add_argument(
                "--condition",
                choices=CONDITIONS,
                default="both",
                help="scenes as in training, or with held-out pairs, shapes and lights (default both)",
            )
            parser.add_argument(
                "--processes",
                type=positive,
                metavar="N",
                help="share the scenes among N processes; the results are those of one (default 1)",
            )
            add_ray(parser)
        if name in ("tabletop", "interactive", "photographs"):
            # With the instruction nine are ten turns, as many as are reported; the robot's own budget is three.
            budget = 9 if name == "interactive" else 3
            parser.add_argument(
                "--max-questions", type=count, default=budget, metavar="N", help=f"a dialogue (default {budget})"
            )
        if name == "interactive":
            parser.add_argument(
                "--oracle",
                choices=ORACLES,
                default="auto",
                help="who answers: the scene, a model that was trained to, the recorded answers in order, "
                "or a click on the target or its box (default: scenes answer for themselves, else "
                "the model if it can, else a click)",
            )
        if name == "photographs":
            parser.add_argument(
                "--oracle", choices=GESTURES, default="click", help="who answers what it asks (default click)"
            )
        if name not in ("tabletop", "masks", "taught", "vqa", "segmentation"):
            evaluate_other.add_arguments(parser, files=name not in ("interactive", "photographs"))
        if name in ("interactive", "dialogue"):
            evaluate_other.add_oracle(parser)
        if name == "interactive":
            parser.add_argument(
                "--guesser",
                type=Path,
                metavar="DIR",
                help="the model whose boxes count; --model then only asks (InViG-Base)",
            )


def _add_scenes(parser: argparse.ArgumentParser) -> None:
    # Relevance is about every thing of a picture: only rendered scenes know them all.
    parser.add_argument("path", type=Path, metavar="SCENES", help="a folder made by clue scenes")
    parser.add_argument("--limit", type=positive, metavar="N", help="at most so many scenes (taught: things)")
    parser.add_argument("--seed", type=int, default=0, help="of what the scenes' grammar says (default 0)")


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, metavar="DATA", help="folder or file of a data set (docs/data.md)")
    parser.add_argument("--format", choices=FORMATS, default="auto", help="default: found out from the files' names")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="where the images are, if not in the usual place")
    parser.add_argument("--subset", metavar="NAME", help="InViG: 21k, 500k, en, zh; refcoco, refcoco+, refcocog")
    parser.add_argument("--split", metavar="NAME", help="default: test where there is one, else everything")
    parser.add_argument(
        "--fractions",
        type=float,
        nargs=3,
        metavar=("TRAIN", "VALID", "TEST"),
        help="make splits by image content where there is none or one; the paper's: 70 15 15",
    )
    parser.add_argument(
        "--allow-training-data",
        action="store_true",
        help="judge also what the model was trained on; it is refused without, and a held-out part is the default",
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="at most so many samples")
    parser.add_argument("--shuffle", type=int, metavar="SEED", help="any samples instead of the first ones")
    parser.add_argument("--seed", type=int, default=0, help="of what a scene's grammar says (default 0)")


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from clue_ros.evaluation.suite import run_suite

    folder = args.output or Path("out/evaluate") / args.what
    evaluate_other.split_commands(args)
    selection = None if args.what in ("tabletop", "chat", "masks", "taught", "vqa") else _selection(args)
    subject = evaluate_other.other_model(args) or _load(args.model, args)
    if getattr(args, "guesser", None) is not None:
        subject = evaluate_other.with_guesser(subject, args, _load)
    answerer = judge = None
    try:
        answerer = evaluate_other.answerer(args, _load)
        if getattr(args, "judge_command", None):
            judge = evaluate_chat.judge_of(args)
        elif args.what == "vqa":
            judge = evaluate_vqa.program(args)
        suite = _suite(args, subject, selection, answerer, judge)
        if getattr(args, "fit", False):
            return _fit(suite)
        with tqdm(total=suite.total(), unit="item", file=sys.stderr, dynamic_ncols=True) as bar:
            results = run_suite(
                suite, folder, fresh=args.fresh, gallery=args.pictures, against=args.against, progress=bar.update
            )
    except KeyboardInterrupt:
        print(f"\nclue: interrupted; the same command goes on where it stopped: {folder}", file=sys.stderr)
        return 130
    finally:
        subject.close()
        for helper in (answerer, judge):
            if helper is not None:
                helper.close()
    print_results(results)
    if not results.measures and not results.tables:
        raise ClueError(
            f"nothing of {getattr(args, 'path', None) or 'the scenes'} can be judged by this suite: look at clue data "
            "check, and at --split"
        )
    print(f"results: {folder} (results.json, summary.csv, rows.csv, plots); a page of it: clue report {folder}")
    return 0


def _fit(suite: Any) -> int:
    from tqdm import tqdm

    from clue_ros.evaluation.taught_fit import episodes, figures, fitted
    from clue_ros.evaluation.taught_suite import VIEWS
    from clue_ros.taught.matching import Rule, rule_of, save_rule

    with tqdm(total=suite.total(), unit="thing", file=sys.stderr, dynamic_ncols=True) as bar:
        things = episodes(suite, bar.update)
    if len(things) < 4:
        raise ClueError(f"{len(things)} things can be taught in these scenes: make more of them")
    folder = suite.sight.folder
    rule = fitted(things[::2])
    for name, chosen in (("as it was", rule_of(folder)), ("as it ships", Rule()), ("fitted", rule)):
        for views in VIEWS:
            told = ", ".join(f"{case} {value:.2f}" for case, value in figures(things[1::2], chosen, views).items())
            print(f"{name}, {views} view{'s' if views > 1 else ''}: {told}")
    print(f"{save_rule(rule, folder)}: {rule}; figures of the {len(things[1::2])} things that were not fitted on")
    return 0


def _selection(args: argparse.Namespace):
    from clue_ros.evaluation.held_out import held_out
    from clue_ros.evaluation.samples import Selection

    selection = Selection(
        args.path,
        args.format,
        args.images,
        args.subset,
        args.split,
        args.fractions,
        args.limit,
        args.shuffle,
        args.seed,
    )
    models = [
        model
        for model in (args.model, getattr(args, "oracle_model", None), getattr(args, "guesser", None))
        if model is not None
    ]
    for model in models:
        selection, told = held_out(model, selection, args.allow_training_data)
        if told:
            print(f"clue: {told}", file=sys.stderr)
    return selection


def _load(model: Optional[Path], args: argparse.Namespace):
    from clue_ros.evaluation.subject import Subject

    try:
        return Subject.load(model, args.device, args.quantization, args.dtype, args.glances)
    except (RuntimeError, AssertionError) as error:  # torch's errors for an unknown or missing device
        raise ClueError(f"cannot load the model on device {args.device!r}: {str(error).splitlines()[0]}") from error


def _suite(args: argparse.Namespace, subject, selection, answerer, judge):
    if args.what == "tabletop":
        from clue_ros.evaluation.tabletop_conditions import CONDITIONS as COLUMNS
        from clue_ros.evaluation.tabletop_suite import TabletopSuite

        return TabletopSuite(
            subject,
            args.scenes,
            threshold=args.threshold,
            max_questions=args.max_questions,
            conditions=COLUMNS[args.condition],
            sharing=sharing(args.processes, args.ray, device=args.device),
        )
    if args.what == "chat":
        return evaluate_chat.suite(args, subject, judge)
    if args.what == "vqa":
        return evaluate_vqa.suite(args, subject, judge)
    if args.what == "ambiguity":
        from clue_ros.evaluation.ambiguity_suite import AmbiguitySuite

        return AmbiguitySuite(subject, selection, args.threshold)
    if args.what == "grounding":
        from clue_ros.evaluation.grounding_suite import GroundingSuite

        return GroundingSuite(subject, selection)
    if args.what == "taught":
        from clue_ros.evaluation.taught_suite import TaughtSuite

        return TaughtSuite(subject, args.path, args.limit, args.seed)
    if args.what == "segmentation":
        from clue_ros.evaluation.segmentation_suite import SegmentationSuite

        return SegmentationSuite(subject, selection)
    if args.what == "masks":
        from clue_ros.evaluation.mask_suite import MaskSuite

        return MaskSuite(subject, args.path, args.limit, args.seed)
    from clue_ros.evaluation.oracle import choose_oracle
    from clue_ros.evaluation.subject import Subject

    if args.what == "photographs":
        from clue_ros.evaluation.photograph_suite import PhotographSuite

        oracle = choose_oracle(args.oracle, subject, args.path, selection.source.name)
        return PhotographSuite(subject, selection, oracle, max_questions=args.max_questions, threshold=args.threshold)
    other, program = (answerer, None) if isinstance(answerer, Subject) else (None, answerer)
    name = " ".join(args.oracle_command or ())
    if other is not None:
        name = "{model} ({fingerprint})".format(**other.about())
    if args.what == "dialogue":
        from clue_ros.evaluation.dialogue_suite import DialogueSuite

        answers = program if other is None else choose_oracle("model", subject, args.path, "", other=other)
        return DialogueSuite(subject, selection, answers, name)
    from clue_ros.evaluation.interactive_suite import InteractiveSuite

    form = selection.source.name
    oracle = program or choose_oracle(args.oracle, subject, args.path, form, args.seed, other)
    return InteractiveSuite(
        subject, selection, oracle, max_questions=args.max_questions, threshold=args.threshold, oracle_name=name
    )
