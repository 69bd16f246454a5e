"""A model directory with random weights in the layout of a download: several files, the published names, bfloat16."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, List

import torch
from safetensors.torch import save_file

from clue_ros.ambiguity.detector import AmbiguityDetector
from clue_ros.lab.bench.paligemma2_3b import randomise
from clue_ros.vlm.shards import INDEX
from clue_ros.vlm.skeleton import skeleton

_PUBLISHED = {
    "model.language_model.": "language_model.model.",
    "model.vision_tower.": "vision_tower.vision_model.",
    "model.multi_modal_projector.": "multi_modal_projector.",
}


def write_random_folder(folder: Path, config, tokenizer, shard_bytes: int = 1 << 30) -> None:
    """Write it file by file, so that one file's tensors are all that is in memory.

    Args:
        folder: is made; what lies in it is written over.
        config: a PaliGemmaConfig.
        tokenizer: a PreTrainedTokenizerFast with the configuration's vocabulary.
        shard_bytes: a file ends with the tensor that reaches it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = skeleton(config).to(torch.bfloat16)
    model.tie_weights()
    groups: List[List[str]] = [[]]
    size, shapes = 0, {name: parameter.shape for name, parameter in model.named_parameters()}
    for name, shape in shapes.items():
        if size >= shard_bytes:
            size = 0
            groups.append([])
        groups[-1].append(name)
        size += 2 * shape.numel()
    places: Dict[str, str] = {}
    for number, names in enumerate(groups, 1):
        file = f"model-{number:05d}-of-{len(groups):05d}.safetensors"
        tensors = {}
        for name in names:
            tensors[_published(name)] = tensor = torch.empty(shapes[name], dtype=torch.bfloat16)
            randomise(name, tensor)
        save_file(tensors, folder / file, metadata={"format": "pt"})
        places.update(dict.fromkeys(tensors, file))
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    AmbiguityDetector().save(folder)


def _published(name: str) -> str:
    for new, old in _PUBLISHED.items():
        if name.startswith(new):
            return old + name.removeprefix(new)
    return name
