"""A model directory from disk: checks that name what is missing, truncated or of another shape."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional

import torch

from clue_ros.eyes.sight import Sight, checked_glances, has_sight
from clue_ros.eyes.tower import SightTower
from clue_ros.types import ModelLoadError, OutOfMemoryError
from clue_ros.vlm.adapters import Adapter, load_adapters
from clue_ros.vlm.dense import Precision
from clue_ros.vlm.memory import memory_guard
from clue_ros.vlm.model_folder import check_folder
from clue_ros.vlm.quantization import stays
from clue_ros.vlm.quiet import quiet
from clue_ros.vlm.settings import ClueSettings
from clue_ros.vlm.shards import Shards
from clue_ros.vlm.skeleton import Filler, skeleton

log = logging.getLogger(__name__)

SHORTEST_WINDOW = 2048  # tokens; a shorter sliding window would hide image tokens from the words


class Loaded(NamedTuple):
    """A transformers model in evaluation mode on its device, and its adapters by name."""

    model: torch.nn.Module
    tokenizer: object
    settings: ClueSettings
    adapters: Dict[str, Adapter]


class Opened(NamedTuple):
    """A directory whose checks have passed. `loaded.model` has no weights yet: `fill` puts them into its modules."""

    loaded: Loaded
    precision: Precision
    fill: Filler


def load_directory(path: Path, device: str, precision: Precision) -> Loaded:
    """Load a directory (vlm/settings.py says what it holds), weights in `precision.storage`.

    Raises ModelLoadError naming what is wrong, OutOfMemoryError.
    """
    opened = open_directory(path, device, precision.storage)
    with memory_guard(f"loading {path}"):
        opened.fill(opened.loaded.model)
    return opened.loaded


def open_directory(
    path: Path,
    device: str,
    dtype: Optional[torch.dtype] = None,
    quantization: str = "none",
    glances: Optional[int] = None,
) -> Opened:
    """Everything of a directory but its weights, of which the headers are checked.

    dtype: of the weights, None for what suits the machine (dense.Precision.choose); quantization: what will be done
    with them, which counts in that choice; glances: second ones a picture, None for the model's own, of no effect on a
    model without such eyes, which is logged. Raises ModelLoadError naming what is wrong, OutOfMemoryError.
    """
    from transformers import AutoTokenizer, PaliGemmaConfig

    path = Path(path)
    check_folder(path)
    if glances is not None and not has_sight(path):
        checked_glances(glances)
        log.warning("glances is %d, but %s sees a picture once: it has no eyes for second glances", glances, path)
    shards = Shards(path)
    try:
        with quiet(), memory_guard(f"loading {path}"):
            config = PaliGemmaConfig.from_pretrained(path, local_files_only=True)
            text = config.get_text_config()
            settings = ClueSettings.load(path, text.num_hidden_layers)
            if not settings.soft_caps:
                text.attn_logit_softcapping = text.final_logit_softcapping = None
            model = skeleton(config)
            if has_sight(path):
                model.model.vision_tower = None  # its weights are not in the checkpoint
            precision = Precision.choose(device, dtype, stays(model, torch.float32, quantization))
            fill = Filler(model, shards, precision.storage, device)
            if has_sight(path):
                model.model.vision_tower = _sight(path, config, device, glances, precision.storage)
            tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (ModelLoadError, OutOfMemoryError):
        raise
    except Exception as error:  # transformers raises many kinds for a broken directory; all mean the same here
        raise ModelLoadError(f"{path} cannot be loaded as PaliGemma: {error}") from error
    if settings.pattern.sliding_windows and text.sliding_window and text.sliding_window < SHORTEST_WINDOW:
        raise ModelLoadError(
            f"{path / 'config.json'}: sliding windows below {SHORTEST_WINDOW} tokens are not supported"
        )
    names = (settings.detector_adapter, settings.dialogue_adapter, settings.answer_adapter)
    adapters = load_adapters(model.model.language_model, path, names)
    return Opened(Loaded(model, tokenizer, settings, adapters), precision, fill)


def _sight(path: Path, config: Any, device: str, glances: Optional[int], dtype: torch.dtype) -> SightTower:
    """Raises ModelLoadError where the eyes' files are broken, or do not give the grid that config.json names."""
    sight, vision = Sight.open(path, device, glances=glances), config.vision_config
    wanted = (vision.image_size // vision.patch_size, vision.hidden_size)
    if (sight.shape.grid, sight.shape.width) != wanted:
        raise ModelLoadError(
            f"{path}: eyes.json gives a grid of {sight.shape.grid} with {sight.shape.width} channels, config.json says "
            f"{wanted[0]} with {wanted[1]}"
        )
    return SightTower(sight, dtype).requires_grad_(False)


def check_device(device: str) -> None:
    """Raises ModelLoadError where torch has no such device, or cannot use it here."""
    try:
        with memory_guard(f"opening {device}"):
            torch.empty(0, device=device)
    except OutOfMemoryError:
        raise
    except Exception as error:  # RuntimeError and AssertionError of each device's own, NotImplementedError
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelLoadError(
            f"the device {device!r} cannot be used here ({reason}): give cpu, or a device that torch "
            "was built for and that the machine has"
        ) from error
