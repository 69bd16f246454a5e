"""`clue train ablate`: what each choice of a recipe is worth. One change at a time, each from the same start, for the
same number of steps or the same time; measured on the same held-out scenes while it trains.

    clue train ablate --output runs/tabletop --stage language --steps 150

Runs lie in OUTPUT/ablate/STAGE/VARIANT and go on where they stopped; ablations.json, .csv and .png lie beside them.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from clue_ros.training.readings import VALIDATION, read_lines
from clue_ros.training.recipe import TrainConfig
from clue_ros.training.recipe_file import TrainingError

ABLATIONS = Path(__file__).parent / "ablations.yaml"
ABLATED = ("language", "vision")
SHOWN = {"language": ("loss", "branch", "iou50", "bins_off", "mass"), "vision": ("loss", "category", "color", "box")}
TIMED_STEPS = 6  # of them the first is left out: it warms up

RunVariant = Callable[[TrainConfig, Path], None]


@dataclass(frozen=True)
class Variant:
    """name: of the variant; overrides: 'section.key=value' each."""

    name: str
    overrides: Tuple[str, ...]

    @property
    def folder(self) -> str:
        return re.sub(r"\W+", "-", self.name).strip("-")


def read_variants(file: Path, stage: str, only: Sequence[str] = ()) -> List[Variant]:
    """The variants of a stage. Raises TrainingError if the file is none of ours, or a name in `only` is not in it."""
    import yaml

    try:
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}
        variants = [
            Variant(str(name), tuple(f"{k}={json.dumps(v)}" for k, v in (changes or {}).items()))
            for name, changes in content[stage].items()
        ]
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{file} must map '{stage}' to names of variants and what each changes, as {ABLATIONS.name} does ({error})"
        ) from error
    unknown = sorted(set(only) - {v.name for v in variants})
    if unknown:
        raise TrainingError(
            f"{file} has no variant {', '.join(unknown)} of {stage}; it has {', '.join(v.name for v in variants)}"
        )
    return [v for v in variants if not only or v.name in only]


def ablate(
    folder: Path,
    stage: str,
    variants: Sequence[Variant],
    configured: Callable[[Sequence[str]], TrainConfig],
    run: RunVariant,
    steps: Optional[int] = None,
    minutes: Optional[float] = None,
) -> List[Dict]:
    """Run every variant and write the results; returns a row for each. configured: the recipe under overrides; run:
    trains a recipe's stage in a folder; steps: of each, or minutes: time of each.

    Raises TrainingError for a wrong recipe, before anything is trained."""
    folder = Path(folder)
    configs = {v: configured(v.overrides) for v in variants}
    rows = []
    for variant, config in configs.items():
        own = folder / variant.folder
        settings = getattr(config, stage)
        count = steps or (_steps_in(minutes, own, config, stage, run) if minutes else settings.steps)
        every = max(1, min(settings.validate_every or count, count // 10 or 1))
        run(replace(config, **{stage: replace(settings, steps=count, validate_every=every)}), own)
        rows.append(_row(variant, own, stage))
        write(folder, stage, rows)
    return rows


def _steps_in(minutes: float, own: Path, config: TrainConfig, stage: str, run: RunVariant) -> int:
    """How many steps fit into the time, from a few that are thrown away; decided once for a variant."""
    file = own.with_suffix(".steps")
    if not file.is_file():
        trial = own.with_suffix(".trial")
        shutil.rmtree(trial, ignore_errors=True)
        spent = []
        for count in (1, TIMED_STEPS):
            short = replace(getattr(config, stage), steps=count, validate_every=0)
            run(replace(config, **{stage: short}), trial)
            spent.append(_seconds(trial))
        shutil.rmtree(trial)
        each = (spent[1] - spent[0]) / (TIMED_STEPS - 1)
        file.write_text(str(max(1, int(60 * minutes / each))), encoding="utf-8")
    return int(file.read_text(encoding="utf-8"))


def _row(variant: Variant, own: Path, stage: str) -> Dict:
    curve = read_lines(own / VALIDATION)
    last = curve[-1] if curve else {}
    return {
        "variant": variant.name,
        "changes": list(variant.overrides),
        "steps": last.get("step"),
        "seconds": round(_seconds(own), 1),
        **{k: last.get(k) for k in SHOWN[stage]},
        "curve": curve,
    }


def _seconds(own: Path) -> float:
    """The time that a run's steps have taken."""
    return json.loads((own / "state.json").read_text(encoding="utf-8"))["seconds"]


def write(folder: Path, stage: str, rows: List[Dict]) -> None:
    """ablations.json (with the curves), ablations.csv (the last figures) and ablations.png."""
    folder = Path(folder)
    (folder / "ablations.json").write_text(
        json.dumps({"stage": stage, "variants": rows}, indent=1) + "\n", encoding="utf-8"
    )
    with open(folder / "ablations.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ("variant", "changes", "steps", "seconds", *SHOWN[stage]), extrasaction="ignore")
        table.writeheader()
        table.writerows({**row, "changes": " ".join(row["changes"])} for row in rows)
    _plot(folder / "ablations.png", stage, rows)


def table(stage: str, rows: Sequence[Dict]) -> str:
    """The figures after the last step, a line a variant."""
    width = max(len(row["variant"]) for row in rows)
    lines = [" ".join([f"{'variant':{width}}", f"{'steps':>6}", *(f"{k:>9}" for k in SHOWN[stage])])]
    for row in rows:
        figures = [f"{row[k]:9.3f}" if row[k] is not None else f"{'-':>9}" for k in SHOWN[stage]]
        lines.append(" ".join([f"{row['variant']:{width}}", f"{row['steps'] or 0:6d}", *figures]))
    return "\n".join(lines)


def _plot(file: Path, stage: str, rows: Sequence[Dict]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = SHOWN[stage][:3]
    figure = Figure(figsize=(4.2 * len(names), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, len(names)), names):
        for row in rows:
            axes.plot([p["step"] for p in row["curve"]], [p.get(name) for p in row["curve"]], label=row["variant"])
        axes.set(xlabel="step", title=f"{name}, held-out scenes")
        axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    figure.savefig(file, dpi=130)
