"""What an interrupted run needs to go on exactly, in its folder: weights, optimiser, state. Safetensors and JSON only.

`weights.safetensors`, `optimizer.safetensors` and `state.json` belong together; `best.safetensors` holds the weights of
the best validation. No generator's state is kept: all randomness of a step is drawn from its number.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Dict, Iterable, Optional

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from clue_ros.training.optimizer import Optimizer
from clue_ros.types import ModelLoadError

WEIGHTS, BEST, OPTIMIZER, STATE = "weights.safetensors", "best.safetensors", "optimizer.safetensors", "state.json"
TOGETHER = (WEIGHTS, OPTIMIZER, STATE)  # in the order in which they are put in place

Modules = Dict[str, nn.Module]


def save(folder: Path, modules: Modules, optimizer: Optimizer, state: Dict) -> None:
    """Write everything, then put it in place: an end in between leaves the checkpoint before, or is made up for by
    `read_state`."""
    folder = Path(folder)
    flat = {
        f"{p}/{i}/{key}": value.detach().cpu().contiguous()
        for p, part in enumerate(optimizer.state_dict())
        for i, kept_of in part["state"].items()
        for key, value in kept_of.items()
    }
    for name in reversed(TOGETHER):  # what a cut-off writing left must not pass for a part of this one
        _partial(folder / name).unlink(missing_ok=True)
    save_file(_tensors(modules), str(_partial(folder / WEIGHTS)))
    save_file(flat, str(_partial(folder / OPTIMIZER)))
    _partial(folder / STATE).write_text(json.dumps(state, default=str))
    for name in TOGETHER:
        _partial(folder / name).replace(folder / name)


def save_best(folder: Path, modules: Modules) -> None:
    folder = Path(folder)
    save_file(_tensors(modules), str(_partial(folder / BEST)))
    _partial(folder / BEST).replace(folder / BEST)


def save_ranked(folder: Path, modules: Modules, step: int, dropped: Iterable[int] = ()) -> None:
    """Keep the weights of a good validation as best-STEP.safetensors; those of the steps `dropped` go."""
    file = Path(folder) / _ranked(step)
    save_file(_tensors(modules), str(_partial(file)))
    _partial(file).replace(file)
    for other in dropped:
        (Path(folder) / _ranked(other)).unlink(missing_ok=True)


def _ranked(step: int) -> str:
    return f"best-{step:06d}.safetensors"


def read_state(folder: Path) -> Optional[Dict]:
    """state.json of a run folder, None for a run that starts. Raises ModelLoadError."""
    file = Path(folder) / STATE
    waiting = [_partial(Path(folder) / name) for name in TOGETHER]
    if not waiting[0].exists() and waiting[-1].exists():
        # Cut off while the files were put in place. The state is written last, so all of them are whole.
        for partial, name in zip(waiting, TOGETHER):
            with suppress(FileNotFoundError):  # in place already, or another process was faster
                partial.replace(Path(folder) / name)
    if not file.is_file():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{file} cannot be read: {error}") from error


def load(folder: Path, modules: Modules, optimizer: Optimizer) -> None:
    """Put the last checkpoint into modules and optimiser. Raises ModelLoadError naming the file that is wrong."""
    folder = Path(folder)
    load_modules(folder, modules, keep="last")
    try:
        flat = load_file(str(folder / OPTIMIZER))
    except (OSError, SafetensorError) as error:
        raise ModelLoadError(f"{folder / OPTIMIZER} cannot be read: {error}") from error
    states = optimizer.state_dict()
    for part in states:
        part["state"] = {}
    for name, value in flat.items():
        p, i, key = name.split("/")
        states[int(p)]["state"].setdefault(int(i), {})[key] = value
    optimizer.load_state_dict(states)


def load_modules(folder: Path, modules: Modules, keep: str = "") -> None:
    """Load a run folder's weights into modules by name.

    keep: 'best' or 'last'; empty for what the run's own settings say.
    Raises ModelLoadError naming the file that is wrong.
    """
    file = Path(folder) / (BEST if kept(folder, keep)["weights"] == "best" else WEIGHTS)
    try:
        tensors = load_file(str(file))
    except (OSError, SafetensorError) as error:
        raise ModelLoadError(f"cannot read {file}: {error}; run the stage before this one first") from error
    for name, module in modules.items():
        own = {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(name + ".")}
        missing = set(_unique(module)) - set(own)
        if missing:
            raise ModelLoadError(f"{file} lacks {len(missing)} tensors of '{name}', for example {sorted(missing)[0]}")
        module.load_state_dict(own, strict=False)


def kept(folder: Path, keep: str = "") -> Dict:
    """{"weights": 'best' or 'last', "step": of them} that the next stage takes from a run folder; step -1 if it is not
    known. The last ones where no validation was made."""
    state = read_state(folder) or {}
    best = state.get("best")
    if best and (keep or state["settings"].get("keep")) == "best" and (Path(folder) / BEST).is_file():
        return {"weights": "best", "step": best["step"]}
    return {"weights": "last", "step": state.get("step", -1)}


def _tensors(modules: Modules) -> Dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.detach().cpu().contiguous().clone()
        for name, module in modules.items()
        for key, value in _unique(module).items()
    }


def _unique(module: nn.Module) -> Dict[str, torch.Tensor]:
    """The state without a tied tensor's second name, which safetensors refuses."""
    seen, state = set(), {}
    for key, value in module.state_dict().items():
        if value.data_ptr() and value.data_ptr() in seen:
            continue
        seen.add(value.data_ptr())
        state[key] = value
    return state


def _partial(file: Path) -> Path:
    return file.with_suffix(".partial")
