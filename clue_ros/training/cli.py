"""`clue train`: the embedded model from nothing, or adapters and detectors on a model directory.

    clue train all --output runs/tabletop            # scenes, every stage, model directory in runs/tabletop/model
    clue train language --output runs/tabletop --config my.yaml     # one stage, goes on where it stopped
    clue train joint --base clue_ros/models/tabletop --output runs/joint      # one-pass CLUE on a finished model
    clue train detector --base DIR --variant half-full-disambig-ar --output runs/hfd
    clue train detector --base DIR --sweep-layers --output runs/sweep         # which layer's map tells most

Each stage has a run folder; an interrupted stage resumes with the same command. With --base, the model directory with
what was trained is written to OUTPUT/model.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from clue_ros.training.recipe import STAGES, TrainingError, read_config
from clue_ros.training.stages import ADAPTER_STAGES, Stages
from clue_ros.training.variants import VARIANTS, with_variant

DEFAULT_CONFIG = Path(__file__).parent / "tabletop.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stage", choices=("all", *STAGES), help="one stage, or all of them")
    parser.add_argument("--output", "-o", required=True, type=Path, help="folder of the runs; a stage resumes in it")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG,
                        help="YAML recipe (default: the shipped model's)")
    parser.add_argument("--base", type=Path, metavar="DIR",
                        help="model directory to start from (detector, dialogue, joint, export; default: the language "
                             "run in OUTPUT)")
    parser.add_argument("--variant", choices=tuple(VARIANTS), help="detector: a variant of the paper by name")
    parser.add_argument("--tap", type=int, metavar="K", help="detector, joint: layer whose map is read, from 0")
    parser.add_argument("--sweep-layers", action="store_true",
                        help="detector: freeze everything but the CNN and train one on the map of each layer")
    parser.add_argument("--data", type=Path, help="folder of the rendered scenes (default: OUTPUT/data)")
    parser.add_argument("--steps", type=int, help="overrides the stage's number of steps")
    parser.add_argument("--set", action="append", metavar="SECTION.KEY=VALUE",
                        help="overrides one value of the recipe; may be given several times")
    parser.add_argument("--processes", type=int, default=1,
                        help="share each batch among CPU processes of one thread each (default: one, with all threads)")


def run(args: argparse.Namespace) -> int:
    _check(args)
    config = read_config(args.config, args.set or ())
    if args.variant:
        config = replace(config, detector=with_variant(config.detector, args.variant))
    if args.tap is not None:
        config = replace(config, detector=replace(config.detector, tap=args.tap),
                         joint=replace(config.joint, tap=args.tap))
    stages = Stages(config, args.output, args.data or args.output / "data", args.steps, args.base, args.processes)
    for stage in config.stages if args.stage == "all" else (args.stage,):
        stages.run("sweep" if args.sweep_layers else stage)
    return 0


def _check(args: argparse.Namespace) -> None:
    problems = []
    if args.base and args.stage not in (*ADAPTER_STAGES, "export", "calibrate"):
        problems.append(f"--base is for {', '.join(ADAPTER_STAGES)} and export; '{args.stage}' starts from nothing")
    if (args.variant or args.sweep_layers) and args.stage != "detector":
        problems.append("--variant and --sweep-layers belong to the stage detector")
    if args.tap is not None and args.stage not in ("detector", "joint"):
        problems.append("--tap belongs to the stages detector and joint")
    if problems:
        raise TrainingError("; ".join(problems))
