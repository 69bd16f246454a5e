"""Assemble a model directory: from the stages of a model trained from nothing, or from a base directory and one run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Dict, Optional, Sequence

from transformers import SiglipImageProcessorPil

from clue_ros.ambiguity.kinds import KINDS, head_files
from clue_ros.ambiguity.reading import DETECTOR, DIALOGUE, DetectorKind
from clue_ros.eyes.sight import Sight, has_sight, save_sight
from clue_ros.eyes.tower import SightTower
from clue_ros.masks.head import FILE as MASK_FILE
from clue_ros.simulation.utterances import FILLERS
from clue_ros.training.adapters import (
    LoraSettings,
    NamedParameters,
    add_adapter,
    named_adapter_parameters,
    save_adapter,
)
from clue_ros.training.base import open_base
from clue_ros.training.checkpoint import load_modules
from clue_ros.training.detector_stage import DetectorSettings
from clue_ros.training.mask_stage import MaskSettings, new_head
from clue_ros.training.tabletop_model import TabletopSize
from clue_ros.training.variants import adapted_layers
from clue_ros.training.vision import start
from clue_ros.types import ModelLoadError
from clue_ros.vlm.patterns import IMAGE_BLIND
from clue_ros.vlm.settings import ClueSettings

REPORT = "report.json"  # of a run folder: what it measured on held-out scenes


def load_base(language_folder: Path, size: TabletopSize = TabletopSize(), seed: int = 0, device: str = "cpu"):
    """(tokenizer, model) as the language stage left it, in evaluation mode. device: where its eyes will look, if it has
    some."""
    eyes = SightTower(Sight.open(language_folder, device)) if has_sight(language_folder) else None
    tokenizer, model, _ = start(size, seed, eyes=eyes)
    load_modules(language_folder, {"model": model})
    model.tie_weights()
    return tokenizer, model.eval()


def export(output: Path, language_folder: Path, runs: Sequence[Path], size: TabletopSize = TabletopSize()) -> Path:
    """Write a model directory (vlm/settings.py) from the language run of a model trained from nothing, weights in
    float16 to halve the download, with what the run folders `runs` trained on it (none: a base for `clue train joint`).
    """
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    tokenizer, model = load_base(language_folder, size)
    tower = model.half().model.vision_tower
    if isinstance(tower, SightTower):  # the eyes are files of their own
        save_sight(tower.trained, output)
        kept = {k: v for k, v in model.state_dict().items() if not k.startswith("model.vision_tower.")}
        model.save_pretrained(output, state_dict=kept)
    else:
        model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    SiglipImageProcessorPil(
        size={"height": size.image_size, "width": size.image_size}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    ).save_pretrained(output)
    tap = json.loads((Path(language_folder) / "state.json").read_text(encoding="utf-8"))["settings"]["tap"]
    ClueSettings(
        prefix_attention=IMAGE_BLIND.name,
        tap_rows=IMAGE_BLIND.tap_rows,
        closed_vocabulary=True,
        ignored_words=FILLERS,
        tap_layer=tap,
        name="clue-tabletop",
    ).save(output)
    for folder in runs:
        export_variant(output, folder, output)
    return output


def export_variant(base_dir: Path, run_folder: Path, output: Path) -> Path:
    """Write a complete model directory: the base's checkpoint with what one run folder trained.

    A detector run replaces the base's detector (adapter and CNN) and keeps its dialogue adapter; a dialogue run the
    other way round; a joint run brings its one adapter, `adapters/dialogue`, and its CNN, and nothing else.
    Raises ModelLoadError if the run is not finished, UnsupportedBaseError as `open_base` does.
    """
    base_dir, run_folder, output = Path(base_dir), Path(run_folder), Path(output)
    run, report = run_settings(run_folder), {}
    if (run_folder / REPORT).is_file():
        report = json.loads((run_folder / REPORT).read_text(encoding="utf-8"))
    base = open_base(base_dir)
    kind, layers = _kind_of_run(run), None
    folder = DIALOGUE if kind is None else kind.folder
    if base_dir.resolve() != output.resolve():
        output.mkdir(parents=True, exist_ok=True)
        copy_checkpoint(base_dir, output)
        base.tokenizer.save_pretrained(output)
        for name in (DETECTOR, DIALOGUE):
            shutil.rmtree(output / "adapters" / name, ignore_errors=True)
            if (base_dir / "adapters" / name).is_dir():
                shutil.copytree(base_dir / "adapters" / name, output / "adapters" / name)
    (output / MASK_FILE).unlink(missing_ok=True)  # it reads what another adapter makes of the words
    if kind is not None and kind.one_pass:
        shutil.rmtree(output / "adapters" / DETECTOR, ignore_errors=True)
    if folder == DETECTOR:
        layers = adapted_layers(
            DetectorSettings(**{k: v for k, v in run.items() if k not in ("stage", "lora")}),
            base.model.config.get_text_config().num_hidden_layers,
        )
    add_adapter(base.model, folder, layers, LoraSettings(**run["lora"]))
    load_modules(run_folder, {"adapter": NamedParameters(named_adapter_parameters(base.model, folder))})
    if layers == []:
        shutil.rmtree(output / "adapters" / folder, ignore_errors=True)
    else:
        save_adapter(base.model, folder, output / "adapters" / folder)
    if kind is None:
        replace(base.settings, dialogue_adapter=DIALOGUE).save(output)
        return output
    for file in head_files():
        if file != kind.file:
            (output / file).unlink(missing_ok=True)
    if kind.file:
        head = kind.new_head(base.tokenizer)
        load_modules(run_folder, {"detector": head})
        head.save(output)
    how = {"prefix": run.get("prefix", ""), "depth": run.get("depth", "")}
    clue = kind.written(base.settings, threshold=report.get("threshold", 0.5), tap=run["tap"], **how)
    (replace(clue, detector_adapter="") if layers == [] else clue).save(output)
    return output


def export_mask(base_dir: Path, run_folder: Path, output: Path) -> Path:
    """Write a model directory: the base's, with the mask head of a run. Raises ModelLoadError, UnsupportedBaseError."""
    base_dir, output = Path(base_dir), Path(output)
    run = run_settings(run_folder)
    head = new_head(
        open_base(base_dir, any_attention=True), MaskSettings(**{k: v for k, v in run.items() if k != "stage"})
    )
    load_modules(run_folder, {"mask": head})
    if base_dir.resolve() != output.resolve():
        shutil.copytree(base_dir, output, dirs_exist_ok=True)
    head.save(output)
    return output


def _kind_of_run(run: Dict) -> Optional[DetectorKind]:
    """The kind of detector that a run trained; None: the dialogue alone."""
    stage = run["stage"]
    return KINDS[run["reading"]] if stage == DETECTOR else KINDS.get(stage)


def copy_checkpoint(source: Path, output: Path) -> None:
    """Copy a model directory's checkpoint, and its CNN if it has one; not adapters, masks, clue.json, figures or
    card.
    """
    for file in sorted(Path(source).iterdir()):
        if (
            file.is_file()
            and file.name not in ("clue.json", "calibration.json", MASK_FILE)
            and file.suffix in (".json", ".safetensors", ".model", ".jinja")
        ):
            shutil.copy2(file, Path(output) / file.name)


def run_settings(run_folder: Path) -> Dict:
    """The settings that a run folder was trained with. Raises ModelLoadError if it holds no finished run."""
    file = Path(run_folder) / "state.json"
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError) as error:
        raise ModelLoadError(f"{file} cannot be read ({error}): {run_folder} holds no finished run") from error
    if settings.get("stage") not in ("detector", "dialogue", "joint", "mask"):
        raise ModelLoadError(f"{file} is of stage '{settings.get('stage')}', which adds nothing to a model directory")
    return settings


def write_report(run_folder: Path, report: Dict) -> None:
    (Path(run_folder) / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
