"""What a folder's small files say about a checkpoint, before its gigabytes are read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict, Mapping

from clue_ros.types import ModelLoadError

_QUANTIZED = ("quantization_config", "compression_config")
_KIND = re.compile(r"paligemma2?-\d+b-(mix|pt)\b")


def check_folder(path: Path) -> None:
    """Raises ModelLoadError if a folder is none, lacks one of the small files, or its checkpoint cannot be served:
    not a PaliGemma 2, or quantised by others."""
    path = Path(path)
    if not path.is_dir():
        raise ModelLoadError(f"the model directory {path} does not exist")
    check_config(path / "config.json")
    if not (path / "tokenizer_config.json").is_file():
        raise ModelLoadError(f"{path / 'tokenizer_config.json'} is missing: {path} is not a model directory")
    if not (path / "tokenizer.json").is_file():
        # transformers makes a tokenizer without vocabulary of the other files, which finds nothing and says nothing.
        beside = " (tokenizer.model alone is not read)" if (path / "tokenizer.model").is_file() else ""
        raise ModelLoadError(
            f"{path / 'tokenizer.json'} is missing: download it from where the checkpoint came from{beside}"
        )


def check_config(file: Path) -> Dict[str, Any]:
    """The object in a config.json. Raises ModelLoadError if it is none, or of a checkpoint that cannot be served."""
    file = Path(file)
    if not file.is_file():
        raise ModelLoadError(f"{file} is missing: {file.parent} is not a model directory")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelLoadError(f"{file} cannot be read: {error}") from error
    text = config.get("text_config") if isinstance(config, dict) else None
    if not isinstance(text, dict) or config.get("model_type") != "paligemma":
        kind = config.get("model_type") if isinstance(config, dict) else None
        raise ModelLoadError(f"{file} is of a model of type '{kind}'; only PaliGemma 2 checkpoints are supported")
    _refuse_quantized(file, config)
    if text.get("model_type", "gemma") != "gemma2":  # as transformers fills the gap in
        raise ModelLoadError(
            f"{file}: the text model is '{text.get('model_type', 'gemma')}'; only Gemma 2 (PaliGemma 2) "
            "checkpoints are supported, as google/paligemma2-3b-mix-448"
        )
    return config


def kind_of(path: Path) -> str:
    """'mix' or 'pt', by the name under which Google published a checkpoint: in its config.json, else in its path ('…/
    paligemma2-3b-mix-448', also as the Hugging Face cache has it); '' where neither tells."""
    path = Path(path)
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        config = None
    named = config.get("_name_or_path") if isinstance(config, dict) else None
    for text in (str(named), path.absolute().as_posix()):
        found = _KIND.findall(text)
        if found:
            return found[-1]
    return ""


def _refuse_quantized(file: Path, config: Mapping[str, Any]) -> None:
    for part in (config, config["text_config"], config.get("vision_config") or {}):
        for name in _QUANTIZED:
            said = part.get(name)
            if said:
                method = said.get("quant_method") if isinstance(said, dict) else None
                raise ModelLoadError(
                    f"{file} has a {name} ({method or 'of an unknown method'}): weights that others quantised are "
                    "not read. "
                    "Take the checkpoint as it was before (google/paligemma2-3b-mix-448, in bfloat16) and set the "
                    "parameter 'quantization' to int8 or int4, which does it while loading"
                )
