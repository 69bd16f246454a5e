"""The model directory of a run: the base's checkpoint, linked or copied, with what was trained beside it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Optional

from clue_ros.ambiguity.autoregressive import answer_tokens
from clue_ros.ambiguity.kinds import AUTOREGRESSIVE, head_files, kind_of
from clue_ros.ambiguity.reading import DETECTOR, DIALOGUE
from clue_ros.finetune.objective import Objective
from clue_ros.prompt import ANSWER
from clue_ros.training.adapters import save_adapter
from clue_ros.training.recipe_file import TrainingError
from clue_ros.types import ModelLoadError
from clue_ros.vlm.settings import FILE, ClueSettings, stated

OWN = ("clue.json", "calibration.json", "report.json")  # what CLUE adds beside heads, and no plain checkpoint has
BASE_SUFFIXES = (".json", ".safetensors", ".model", ".jinja")
SPEECH_ALONE = (0.0, 1.0, 0.0)  # ambiguity/gate.py: only the first token of the dialogue adapter counts


def check_output(base: Path, output: Path) -> None:
    """Raises TrainingError if `output` already holds a model that is not built on `base`."""
    base, output = Path(base).resolve(), Path(output).resolve()
    if output == base or not (output / "config.json").exists():
        return
    for file in base_files(base):
        there = output / file.name
        if there.is_symlink() and there.resolve() == file.resolve():
            continue
        if not there.is_file() or there.stat().st_size != file.stat().st_size:
            raise TrainingError(
                f"{output} already holds a model that is not built on {base} ({file.name} differs): "
                "choose another output folder, or the same base"
            )


def base_files(base: Path) -> list:
    """The files of a checkpoint that a model directory needs."""
    own = (*OWN, *head_files())
    return [f for f in sorted(Path(base).iterdir()) if f.is_file() and f.suffix in BASE_SUFFIXES and f.name not in own]


def place_base(base: Path, output: Path, copy: bool = False) -> None:
    """Put the base's checkpoint into `output`: links to the weights (copies if wanted), copies of the small files; its
    adapters, CNN and clue.json are copied where `output` has none yet."""
    base, output = Path(base).resolve(), Path(output)
    output.mkdir(parents=True, exist_ok=True)
    if base == output.resolve():
        return
    for file in base_files(base):
        target = output / file.name
        if target.exists() or target.is_symlink():
            continue
        if file.suffix == ".safetensors" and not copy:
            os.symlink(file.resolve(), target)
        else:
            shutil.copy2(file, target)
    for name in ("clue.json", *head_files()):
        if (base / name).is_file() and not (output / name).exists():
            shutil.copy2(base / name, output / name)
    for folder in sorted((base / "adapters").glob("*")):
        if folder.is_dir() and not (output / "adapters" / folder.name).exists():
            shutil.copytree(folder, output / "adapters" / folder.name)


def write_model(
    objective: Objective, tokenizer, base: Path, output: Path, threshold: Optional[float], copy: bool, new_words: bool
) -> Path:
    """Write what was trained as a complete model directory (vlm/settings.py).

    threshold: P(ambiguous) from which the robot asks, None for 0.5. A detector run keeps the dialogue adapter that is
    there and the other way round; a joint run brings its one adapter and its CNN, and removes adapters/detector; an
    oracle's run only adds adapters/answer.
    new_words: the tokenizer got names for spare tokens and must be written too.
    """
    output, settings, plan = Path(output), objective.settings, objective.plan
    place_base(base, output, copy)
    if new_words:
        tokenizer.save_pretrained(output)
    count = objective.model.config.get_text_config().num_hidden_layers
    adapter = output / "adapters" / plan.folder
    if plan.layers:
        save_adapter(objective.model, plan.folder, adapter)
    else:
        shutil.rmtree(adapter, ignore_errors=True)
    if plan.folder == ANSWER:  # beside whatever the directory is, a plain download too: the oracle grounds nothing
        text = json.dumps({**stated(output), "answer_adapter": ANSWER}, indent=2)
        (output / FILE).write_text(text + "\n", encoding="utf-8")
        return output
    clue = ClueSettings.load(output, count)
    if plan.kind is None or objective.head is None:
        clue = replace(clue, dialogue_adapter=DIALOGUE)
        if not _has_detector(output, clue, tokenizer):
            # Until a detector is trained the dialogue adapter itself says when it would ask, at the price of a pass.
            clue = replace(
                clue, detector=AUTOREGRESSIVE.name, detector_depth="half", detector_adapter="", gate=SPEECH_ALONE
            )
    else:
        for file in head_files():
            if file != plan.kind.file:
                (output / file).unlink(missing_ok=True)
        objective.head.save(output)
        tap = getattr(settings, "tap", -1)
        clue = plan.kind.written(
            clue,
            threshold=0.5 if threshold is None else round(threshold, 3),
            tap=clue.tap_layer if tap < 0 else tap,
            prefix=getattr(settings, "prefix", ""),
            depth=getattr(settings, "depth", ""),
        )
        if not plan.layers:
            clue = replace(clue, detector_adapter="")
        if plan.kind.one_pass:
            shutil.rmtree(output / "adapters" / DETECTOR, ignore_errors=True)
    clue.save(output)
    return output


def _has_detector(output: Path, clue: ClueSettings, tokenizer) -> bool:
    """Whether the directory can say by itself when to ask, or nothing can be done about it."""
    file = kind_of(clue, output / FILE).file
    if not file or (output / file).is_file():
        return True
    try:
        answer_tokens(tokenizer)
    except ModelLoadError:
        return True  # no word for yes: the directory needs a detector with a CNN before it can be used
    return False
