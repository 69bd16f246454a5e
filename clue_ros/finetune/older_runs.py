"""Run folders as `clue finetune` wrote them before it shared the loop of `clue train`: they go on all the same.

step-000250/{weights,optimizer}.safetensors, state.json    the last checkpoint
best/weights.safetensors                                   the weights that validated best
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Dict

import torch
from safetensors.torch import load_file, save_file

from clue_ros.training.checkpoint import BEST, OPTIMIZER, STATE, WEIGHTS
from clue_ros.training.recipe_file import RECORD


def adopt(folder: Path, metric: str) -> None:
    """Turn such a folder into today's. metric: of the run's task. Any other folder stays as it is."""
    folder = Path(folder)
    found = sorted(folder.glob("step-??????/state.json"))
    if not found or (folder / STATE).exists():
        return
    last = found[-1].parent
    old = json.loads(found[-1].read_text(encoding="utf-8"))
    weights = _named(load_file(str(last / WEIGHTS)))
    adapter = sum(name.startswith("adapter.") for name in weights)
    optimizer = {}
    for name, value in load_file(str(last / OPTIMIZER)).items():
        index, _, key = name.partition("/")
        part = int(int(index) >= adapter)  # the CNN has an optimiser of its own now
        optimizer[f"{part}/{int(index) - part * adapter}/{key}"] = value
    save_file(weights, str(folder / WEIGHTS))
    save_file(optimizer, str(folder / OPTIMIZER))
    if (folder / "best" / WEIGHTS).is_file():
        save_file(_named(load_file(str(folder / "best" / WEIGHTS))), str(folder / BEST))
    about = old["about"]
    lora = about["settings"].pop("lora")
    if about["task"] != "detector":
        about["settings"].setdefault("loss_over", "tokens")  # there was no choice
    run = {k: about[k] for k in ("base", "data", "images")}
    (folder / RECORD).write_text(json.dumps({"run": run, about["task"]: about["settings"], "lora": lora}))
    best = None if old["best"] is None else {"step": old["step"], "metric": metric, "value": old["best"]}
    state = {
        "step": old["step"],
        "seed": about["settings"]["seed"],
        "best": best,
        "place": old["place"],
        "settings": {},
    }
    (folder / STATE).write_text(json.dumps(state), encoding="utf-8")
    for done in (*(file.parent for file in found), folder / "best"):
        shutil.rmtree(done, ignore_errors=True)


def _named(tensors: Dict[str, torch.Tensor]) -> Dict[str, torch.Tensor]:
    """adapter/a.b and cnn/a.b by today's names, adapter.a/b and detector.a.b."""
    pairs = [(name.split("/", 1), value) for name, value in tensors.items()]
    return {f"adapter.{n.replace('.', '/')}" if m == "adapter" else f"detector.{n}": v for (m, n), v in pairs}
