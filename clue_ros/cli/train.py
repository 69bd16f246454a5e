"""`clue train`: models of the embedded one's class, or adapters and detectors on a model directory.

    clue train all --output runs/tabletop            # scenes, every stage, model directory in runs/tabletop/model
    clue train language --output runs/tabletop --config my.yaml     # one stage, goes on where it stopped
    clue train joint --base clue_ros/models/tabletop --output runs/joint      # one-pass CLUE on a finished model
    clue train detector --base DIR --variant half-full-disambig-ar --output runs/hfd
    clue train detector --base DIR --sweep-layers --output runs/sweep         # which layer's map tells most

    clue train mask --base clue_ros/models/tabletop --data scenes --output runs/masks    # pixels of targets, relevance

    clue train eyes --config eyes.yaml --output runs/eyes     # patch, crop and neck behind the frozen eyes

    clue train all --start-from runs/tabletop/model --output runs/more        # go on from a finished model
    clue train all --output runs/tabletop --device cuda --minutes 9           # a time slot; the next one goes on
    clue train ablate --output runs/tabletop --stage language --steps 150     # what each choice is worth

Each stage has a run folder; an interrupted stage resumes with the same command. With --base, the model directory with
what was trained is written to OUTPUT/model.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Sequence

from clue_ros.lab.ablation import ABLATED, ABLATIONS, read_variants
from clue_ros.lab.studies import Studies
from clue_ros.training.device import Device
from clue_ros.training.recipe import (
    DEFAULT_CONFIG,
    EYE_STAGES,
    STAGES,
    StartSettings,
    TrainConfig,
    on_card,
    read_config,
)
from clue_ros.training.recipe_file import TrainingError
from clue_ros.training.slot import Slot, SlotOver
from clue_ros.training.stages import ADAPTER_STAGES
from clue_ros.training.variants import VARIANTS, with_variant

TOOLS = ("ablate", "dwsl")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "stage",
        choices=("all", *STAGES, *EYE_STAGES, *TOOLS),
        metavar="STAGE",
        help=f"all (of the recipe's stages), or one: {', '.join((*STAGES, *EYE_STAGES))}; or a tool: ablate "
        "(variants of a stage side by side), dwsl (masks from labels of mixed quality, compared)",
    )
    parser.add_argument(
        "--output", "-o", required=True, type=Path, metavar="DIR", help="folder of the runs; a stage resumes in it"
    )
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="YAML", help="YAML recipe (default: the shipped model's)"
    )
    parser.add_argument(
        "--base",
        type=Path,
        metavar="DIR",
        help="model directory to start from (detector, dialogue, joint, export; default: the language run in OUTPUT)",
    )
    parser.add_argument(
        "--start-from",
        metavar="DIR",
        help="model directory whose weights vision, language and the eyes begin with (the embedded model on own "
        "scenes; default: nothing)",
    )
    parser.add_argument(
        "--variant",
        choices=tuple(VARIANTS),
        metavar="NAME",
        help=f"detector: a variant of the paper, one of {', '.join(VARIANTS)}",
    )
    parser.add_argument("--tap", type=int, metavar="K", help="detector, joint: layer whose map is read, from 0")
    parser.add_argument(
        "--sweep-layers",
        action="store_true",
        help="detector: freeze everything but the CNN and train one on the map of each layer",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the rendered scenes (default: OUTPUT/data)")
    parser.add_argument("--steps", type=int, metavar="N", help="overrides the stage's number of steps")
    parser.add_argument(
        "--set",
        action="append",
        metavar="SECTION.KEY=VALUE",
        help="overrides one value of the recipe; may be given several times",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="share each batch among CPU processes of one thread each (default: one, with all threads)",
    )
    parser.add_argument(
        "--device",
        default="cpu",
        metavar="NAME",
        help="cpu (default), cuda or cuda:N; a card gets larger batches (the recipe's section gpu)",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="stop cleanly after this time, the same command goes on (ablate: time of each variant)",
    )
    parser.add_argument("--stage", dest="ablated", choices=ABLATED, default="language", help="ablate: of which stage")
    parser.add_argument("--ablations", type=Path, default=ABLATIONS, metavar="YAML", help="ablate: the variants")
    parser.add_argument("--only", metavar="NAME,NAME", help="ablate: these variants only")
    parser.epilog = _examples()


def _examples() -> str:
    """The commands at the head of this file, for the help."""
    lines = (__doc__ or "").splitlines()[2:]
    return "examples:\n" + "\n".join(line[2:] for line in lines if line.startswith("    clue"))


def run(args: argparse.Namespace) -> int:
    _check(args)
    config = _configured(args, args.set or ())
    slot = Slot.of_minutes(None if args.stage == "ablate" else args.minutes)
    device = Device.open(args.device, config.gpu, os.cpu_count() or 1)
    stages = Studies(
        config, args.output, args.data or args.output / "data", args.steps, args.base, args.processes, slot, device
    )
    if args.stage == "ablate":
        variants = read_variants(args.ablations, args.ablated, args.only.split(",") if args.only else ())
        stages.ablate(
            args.ablated, variants, lambda more: _configured(args, [*(args.set or ()), *more]), args.steps, args.minutes
        )
        return 0
    for stage in config.stages if args.stage == "all" else (args.stage,):
        if args.stage == "all" and stages.finished(stage):
            continue
        try:
            stages.run("sweep" if args.sweep_layers else stage)
        except SlotOver:
            if args.minutes is None:  # a signal ended the processes that shared the stage
                raise KeyboardInterrupt from None
            print(
                f"the {args.minutes:g} minutes are over in the stage {stage}, everything is saved in {args.output}; "
                "the same command goes on"
            )
            return 0
    if args.stage == "all":
        print(f"all stages are done: {', '.join(config.stages)}; the model directory is {args.output / 'model'}")
    return 0


def _configured(args: argparse.Namespace, overrides: Sequence[str]) -> TrainConfig:
    config = read_config(args.config, overrides)
    if args.start_from:
        config = replace(config, start=StartSettings(str(Path(args.start_from).resolve())))
    if args.variant:
        config = replace(config, detector=with_variant(config.detector, args.variant))
    if args.tap is not None:
        config = replace(
            config, detector=replace(config.detector, tap=args.tap), joint=replace(config.joint, tap=args.tap)
        )
    return config if args.device == "cpu" else on_card(config)


def _check(args: argparse.Namespace) -> None:
    problems = []
    if args.base and args.stage not in (*ADAPTER_STAGES, "export", "calibrate", "mask", "dwsl"):
        problems.append(f"--base is for {', '.join(ADAPTER_STAGES)} and export; '{args.stage}' starts from nothing")
    if args.start_from and args.stage not in ("all", "vision", "language", "ablate", "export", *EYE_STAGES):
        problems.append(f"--start-from is for vision, language and the eyes; '{args.stage}' starts from --base")
    if (args.variant or args.sweep_layers) and args.stage != "detector":
        problems.append("--variant and --sweep-layers belong to the stage detector")
    if args.tap is not None and args.stage not in ("detector", "joint"):
        problems.append("--tap belongs to the stages detector and joint")
    if args.device != "cpu" and args.sweep_layers:
        problems.append("--sweep-layers runs on the CPU only")
    if args.device != "cpu" and args.processes > 1:
        problems.append("--processes shares a batch among CPU processes; with --device cuda leave it out")
    if problems:
        raise TrainingError("; ".join(problems))
