"""What an interrupted run needs to go on exactly: weights, optimiser, place in the data. Safetensors and JSON only.

A run folder holds `step-000250/` (the last checkpoint), `best/` (the weights that validated best) and `readings.jsonl`.
No generator's state is kept: all randomness of a step is drawn from its number.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Dict, List, Optional

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from clue_ros.finetune.objective import Objective
from clue_ros.training.recipe_file import TrainingError
from clue_ros.types import ModelLoadError


def weights_of(objective: Objective) -> Dict[str, torch.Tensor]:
    """Everything that is trained, the CNN's running means included, on the CPU."""
    state = {f"adapter/{name}": p for name, p in objective.named}
    if objective.head is not None:
        state.update({f"cnn/{name}": value for name, value in objective.head.state_dict().items()})
    return {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}


def put_weights(objective: Objective, folder: Path) -> None:
    """The reverse of `weights_of`. Raises ModelLoadError naming the file."""
    file = Path(folder) / "weights.safetensors"
    try:
        state = load_file(str(file))
    except (OSError, SafetensorError) as error:
        raise ModelLoadError(f"{file} cannot be read: {error}") from error
    own = dict(objective.named)
    wrong = [n for n, p in own.items() if f"adapter/{n}" not in state or state[f"adapter/{n}"].shape != p.shape]
    if wrong:
        raise ModelLoadError(f"{file} is of another adapter: {len(wrong)} tensors do not fit, for example {wrong[0]}")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(state[f"adapter/{name}"])
        if objective.head is not None:
            objective.head.load_state_dict({k[4:]: v for k, v in state.items() if k.startswith("cnn/")})


def save_weights(objective: Objective, folder: Path) -> None:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "weights.partial"
    save_file(weights_of(objective), str(partial))
    partial.replace(folder / "weights.safetensors")


def save(folder: Path, objective: Objective, optimizer: torch.optim.Optimizer, state: Dict) -> None:
    """Write a checkpoint of step state["step"] in whole, then drop the ones before it."""
    folder = Path(folder)
    target = folder / f"step-{state['step']:06d}"
    partial = folder / f"{target.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    save_weights(objective, partial)
    flat = {
        f"{index}/{key}": value.detach().cpu().contiguous()
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }
    save_file(flat, str(partial / "optimizer.safetensors"))
    (partial / "state.json").write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    partial.replace(target)
    for old in checkpoints(folder):
        if old != target:
            shutil.rmtree(old)


def checkpoints(folder: Path) -> List[Path]:
    """Complete checkpoints, oldest first."""
    return sorted(p.parent for p in Path(folder).glob("step-*/state.json") if not p.parent.name.endswith(".partial"))


def read_state(folder: Path) -> Optional[Dict]:
    """state.json of the last checkpoint, or None for a run that starts. Raises ModelLoadError."""
    found = checkpoints(folder)
    if not found:
        return None
    try:
        return json.loads((found[-1] / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{found[-1] / 'state.json'} cannot be read: {error}") from error


def load(folder: Path, objective: Objective, optimizer: torch.optim.Optimizer) -> None:
    """Put the last checkpoint into objective and optimiser."""
    last = checkpoints(folder)[-1]
    put_weights(objective, last)
    try:
        flat = load_file(str(last / "optimizer.safetensors"))
    except (OSError, SafetensorError) as error:
        raise ModelLoadError(f"{last / 'optimizer.safetensors'} cannot be read: {error}") from error
    whole = optimizer.state_dict()
    whole["state"] = {}
    for name, value in flat.items():
        index, key = name.split("/")
        whole["state"].setdefault(int(index), {})[key] = value
    optimizer.load_state_dict(whole)


def check_same_run(state: Dict, about: Dict, folder: Path) -> None:
    """Raises TrainingError naming what differs between a checkpoint's run and the one that wants to go on with it."""
    old, new = _flat(state["about"]), _flat(about)
    differing = [f"{k} was {old.get(k)!r}, is {new.get(k)!r}" for k in sorted({*old, *new}) if old.get(k) != new.get(k)]
    if differing:
        raise TrainingError(
            f"{folder} holds a run with other settings ({'; '.join(differing[:4])}): give the same "
            "ones to go on, or delete the folder to start anew"
        )


def _flat(values: Dict, where: str = "") -> Dict:
    found: Dict = {}
    for key, value in values.items():
        found.update(_flat(value, f"{where}{key}.") if isinstance(value, dict) else {f"{where}{key}": value})
    return found
