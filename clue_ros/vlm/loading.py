"""A model directory from disk: checks that name what is missing, truncated or of another shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, NamedTuple

from clue_ros.types import ModelLoadError, OutOfMemoryError
from clue_ros.vlm.adapters import Adapter, load_adapters
from clue_ros.vlm.dense import Precision
from clue_ros.vlm.memory import memory_guard
from clue_ros.vlm.model_folder import check_folder
from clue_ros.vlm.quiet import quiet
from clue_ros.vlm.settings import ClueSettings

SHORTEST_WINDOW = 2048  # tokens; a shorter sliding window would hide image tokens from the words


class Loaded(NamedTuple):
    """A transformers model in evaluation mode on its device, and its adapters by name."""

    model: object
    tokenizer: object
    settings: ClueSettings
    adapters: Dict[str, Adapter]


def load_directory(path: Path, device: str, precision: Precision) -> Loaded:
    """Load a directory (vlm/settings.py says what it holds), weights in `precision.storage`.

    Raises ModelLoadError naming what is wrong, OutOfMemoryError.
    """
    from transformers import AutoTokenizer, PaliGemmaForConditionalGeneration

    path = Path(path)
    check_folder(path)
    weights = check_weights(path)
    try:
        with quiet(), memory_guard(f"loading {path}"):
            model, report = PaliGemmaForConditionalGeneration.from_pretrained(
                path,
                dtype=precision.storage,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, by name
                attn_implementation={"text_config": "eager", "vision_config": "sdpa"},
            )
            tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    except OutOfMemoryError:
        raise
    except Exception as error:  # transformers raises many kinds for a broken directory; all mean the same here
        raise ModelLoadError(f"{path} cannot be loaded as PaliGemma: {error}") from error
    missing = [k for k in report["missing_keys"] if "lm_head" not in k]
    mismatched = [str(k) for k in report["mismatched_keys"]]
    if missing or mismatched:
        raise ModelLoadError(
            f"{weights}: {len(missing)} tensors missing and {len(mismatched)} of another shape than "
            f"config.json says, for example {(missing + mismatched)[0]}"
        )
    text = model.config.get_text_config()
    settings = ClueSettings.load(path, text.num_hidden_layers)
    if settings.pattern.sliding_windows and text.sliding_window and text.sliding_window < SHORTEST_WINDOW:
        raise ModelLoadError(
            f"{path / 'config.json'}: sliding windows below {SHORTEST_WINDOW} tokens are not supported"
        )
    adapters = load_adapters(model.model.language_model, path, (settings.detector_adapter, settings.dialogue_adapter))
    with memory_guard(f"moving {path} to {device}"):
        return Loaded(model.eval().requires_grad_(False).to(device), tokenizer, settings, adapters)


def check_device(device: str) -> None:
    """Raises ModelLoadError where torch has no such device, or cannot use it here."""
    import torch

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


def check_weights(path: Path) -> str:
    """Open every safetensors file that a directory needs; returns a name for messages. Raises ModelLoadError naming the
    file that is missing or truncated."""
    from safetensors import SafetensorError, safe_open

    index = path / "model.safetensors.index.json"
    if index.is_file():
        try:
            files = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (json.JSONDecodeError, KeyError, AttributeError, UnicodeDecodeError) as error:
            raise ModelLoadError(f"{index} is corrupt: {error}") from error
    else:
        files = ["model.safetensors"]
    for name in files:
        file = path / name
        if not file.is_file():
            raise ModelLoadError(f"{file} is missing (weights are read from safetensors only, never from pickles)")
        try:
            with safe_open(str(file), "pt") as handle:
                handle.keys()
        except (SafetensorError, OSError) as error:
            raise ModelLoadError(f"{file} is corrupt or truncated: {error}") from error
    return str(index if index.is_file() else path / files[0])
