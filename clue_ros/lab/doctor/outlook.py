"""What will happen, before gigabytes are read: the folder's layout, dtype, memory, adapters, how to download."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, Optional

import torch

from clue_ros.ambiguity.kinds import is_stock
from clue_ros.eyes.cost import weights_of
from clue_ros.eyes.crops import SIDE
from clue_ros.eyes.sight import FILE, read_sight_shape
from clue_ros.lab.bench.floor import image_tokens
from clue_ros.lab.bench.order import THREE_B, Order
from clue_ros.lab.bench.subject import memory_needed, weight_bytes, weight_count
from clue_ros.types import ClueError, ModelLoadError
from clue_ros.vlm.adapter_kinds import read_settings
from clue_ros.vlm.loading import check_device
from clue_ros.vlm.memory import available_memory
from clue_ros.vlm.model_folder import check_folder
from clue_ros.vlm.quantization import stays
from clue_ros.vlm.self_check import device_name
from clue_ros.vlm.settings import ClueSettings
from clue_ros.vlm.shards import Shards
from clue_ros.vlm.skeleton import skeleton

REPOSITORY = "google/paligemma2-3b-mix-448"
NEW_NAMES = "model."  # of tensors, as transformers 4.52 and later save them
GIB = 1 << 30


@dataclass
class Outlook:
    """lines: what there is and will be, by name; problem: why nothing can be loaded, empty if it can."""

    lines: Dict[str, str] = field(default_factory=dict)
    problem: str = ""


def look(order: Order) -> Outlook:
    """Of a model on a device; nothing of the weights is read but their names."""
    outlook = Outlook()
    try:
        _device(order, outlook)
        _folder(order, outlook)
        _size(order, outlook)
    except ClueError as error:
        outlook.problem = str(error)
    return outlook


def how_to_get(model: str) -> List[str]:
    """Commands that bring a checkpoint. Its licence is accepted on a page, so nobody else can do it."""
    repository = model if model.count("/") == 1 and not model.startswith((".", "/", "~")) else REPOSITORY
    folder = repository.split("/")[1]
    return [
        f"accept the licence on https://huggingface.co/{repository} (an account is needed), then",
        "  hf auth login",
        f"  hf download {repository} --local-dir {folder}",
        f"  clue doctor --model {folder}",
        "(in a checkout .venv/bin/hf: scripts/run.sh forbids downloads)",
    ]


def is_short(order: Order, config) -> str:
    """Why the memory of the device does not do for this order; empty if it does, or if nobody says."""
    free, needed = available_memory(order.device), needed_bytes(order, config)
    if free is None or free >= needed:
        return ""
    return f"memory is short: about {needed / GIB:.1f} GiB are needed on {order.device}, {free / GIB:.1f} are free"


def needed_bytes(order: Order, config) -> int:
    """Of the device at most: what stays of the weights and a seventh of it while they come, and the work."""
    whole = memory_needed(replace(order, quantization="none"), config)
    if order.model == THREE_B:  # is made whole, and quantised then
        return whole
    model, eyes = skeleton(config), 0
    if order.has_eyes:
        model.model.vision_tower, eyes = None, weights_of(order.folder) * order.precision.storage.itemsize
    loaded = stays(model, order.precision.storage, order.quantization) + eyes
    return whole - int(1.05 * weight_bytes(order, config)) + int(1.15 * loaded)


def _device(order: Order, outlook: Outlook) -> None:
    kind, built = torch.device(order.device).type, torch.version.cuda
    outlook.lines["torch"] = f"{torch.__version__}, {f'for CUDA {built}' if built else 'built without CUDA'}"
    if kind == "cuda" and not built:
        outlook.lines["cure"] = "CLUE_TORCH=cuda make setup, with the NVIDIA driver in place"
    check_device(order.device)
    outlook.lines["device"] = f"{order.device}: {device_name(torch.device(order.device))}"


def _folder(order: Order, outlook: Outlook) -> None:
    if order.model == THREE_B:
        outlook.lines["model"] = f"the architecture of {REPOSITORY}, random weights: for times, not for answers"
        outlook.lines["adapters"] = "random ones of the paper's size"
        return
    folder = order.folder
    if not folder.is_dir():
        raise ModelLoadError(f"the model directory {folder} does not exist")
    outlook.lines["model"] = str(folder)
    check_folder(folder)
    names = list(Shards(folder))
    files = sorted(folder.glob("model*.safetensors"))
    size = sum(f.stat().st_size for f in files)
    count = "1 file" if len(files) == 1 else f"{len(files)} files"
    outlook.lines["layout"] = f"{count} of weights, {size / GIB:.2f} GiB, {_generation(names)}"
    outlook.lines["adapters"] = _adapters(folder)
    head = "with" if (folder / "ambiguity.safetensors").is_file() else "without"
    outlook.lines["kind"] = (
        "a download that nobody trained for CLUE: asks and points by rules (stock mode)"
        if is_stock(folder)
        else f"trained for CLUE, {head} a detector's CNN"
    )


def _generation(names: List[str]) -> str:
    new = any(name.startswith(NEW_NAMES) for name in names)
    return f"{len(names)} tensors with the names of transformers {'4.52 and later' if new else 'before 4.52'}"


def _adapters(folder: Path) -> str:
    found = []
    for config in sorted(folder.glob("adapters/*/adapter_config.json")):
        settings = read_settings(config)
        found.append(f"{config.parent.name} (LoRA, r {settings.get('r', 8)}, alpha {settings.get('lora_alpha', 8)})")
    return ", ".join(found) or "none"


def _size(order: Order, outlook: Outlook) -> None:
    config: Any = order.configuration()  # transformers' types allow parts to be missing
    precision = order.precision
    text = config.text_config
    if order.model != THREE_B:
        open_ones = ClueSettings.load(order.folder, text.num_hidden_layers).questions == "open"
        outlook.lines["questions"] = (
            'open, as mix checkpoints want them: "is there a mug?"'
            if open_ones
            else 'with task prefixes: "answer en is there a mug?"'
        )
    count = weight_count(order, config)
    name = lambda dtype: str(dtype).replace("torch.", "")  # noqa: E731
    outlook.lines["size"] = (
        f"{count / 1e6:,.0f} million parameters, {text.num_hidden_layers} layers, {_looks(order, config)} as "
        f"{image_tokens(config)} tokens"
    )
    outlook.lines["dtype"] = f"weights in {name(precision.storage)}, products in {name(precision.compute)}"
    outlook.lines["memory"] = _memory(order.device, needed_bytes(order, config))
    outlook.problem = is_short(order, config)


def _looks(order: Order, config: Any) -> str:
    if not order.has_eyes:
        return f"{config.vision_config.image_size} px"
    shape = read_sight_shape(order.folder / FILE)
    return f"frozen eyes: {shape.first} px and {shape.glances} crops of {SIDE} px"


def _memory(device: str, needed: int) -> str:
    free: Optional[int] = available_memory(device)
    known = "how much is free nobody says" if free is None else f"{free / GIB:.1f} are free"
    return f"about {needed / GIB:.1f} GiB needed, {known}"
