"""The frozen eyes see what transformers' Dinov2Model sees, in every engine."""

import hashlib
import importlib.util
import json
import logging
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cosine_similarity
from transformers import Dinov2Model

from clue_ros.eyes import frozen
from clue_ros.eyes.frozen import SHIPPED, FrozenEyes
from clue_ros.types import InvalidImageError, ModelLoadError

EXACT, ALIKE = 1e-4, 0.999  # largest difference in float32; least cosine of a patch in bfloat16
openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed: pip install openvino"
)
FLOAT32 = ["torch-float32", pytest.param("openvino-float32", marks=openvino)]
BFLOAT16 = ["torch-bfloat16", pytest.param("openvino-bfloat16", marks=openvino)]


def least_cosine(glance, patches, cls):
    return min(cosine_similarity(a, b, -1).min() for a, b in ((glance.patches, patches), (glance.cls, cls)))


@pytest.mark.parametrize("engine", FLOAT32)
def test_in_float32_it_is_transformers_model_at_every_side(engine, tiny, picture, reference):
    folder, model = tiny
    eyes = FrozenEyes.open(folder, engine=engine)
    assert eyes.engine == engine and eyes.shape.taps == (2, 3, 4)
    for side in (70, 112, 28):
        glance = eyes.glance(picture(side))
        patches, cls = reference(model, (2, 3, 4), picture(side))
        assert glance.patches.shape == (2, (side // 14) ** 2, 72) and glance.patches.dtype == torch.float32
        assert not glance.patches.is_inference() and not glance.patches.requires_grad
        assert (glance.patches - patches).abs().max() < EXACT and (glance.cls - cls).abs().max() < EXACT


@pytest.mark.parametrize("engine", FLOAT32)
def test_what_was_seen_stays_when_the_next_batch_is_seen(engine, tiny, picture):
    eyes = FrozenEyes.open(tiny[0], engine=engine)
    first = eyes.glance(picture(70))
    kept = first.patches.clone()
    second = eyes.glance(picture(70)[::-1].copy())
    assert torch.equal(first.patches, kept)
    assert torch.allclose(second.patches[1], kept[0], atol=EXACT)


@pytest.mark.parametrize("engine", BFLOAT16)
def test_the_shipped_eyes_in_bfloat16_are_close(engine, shipped_sight):
    rgb, patches, cls = shipped_sight
    eyes = FrozenEyes.open(SHIPPED, engine=engine)
    assert least_cosine(eyes.glance(rgb), patches, cls) > ALIKE


@pytest.fixture(scope="module")
def shipped_sight(tmp_path_factory, picture, reference):
    """(uint8[2,112,112,3], patches, cls) by transformers from the shipped file."""
    folder = tmp_path_factory.mktemp("shipped")
    (folder / "model.safetensors").symlink_to(SHIPPED / "dinov2-small.safetensors")
    shutil.copy(SHIPPED / "config.json", folder)
    model = Dinov2Model.from_pretrained(folder, dtype=torch.float32).eval()
    rgb = picture(112)
    return (rgb, *reference(model, (6, 9, 12), rgb))


def test_the_shipped_eyes_are_a_whole_dinov2_small(shipped_sight):
    rgb, patches, cls = shipped_sight
    glance = FrozenEyes.open(SHIPPED, engine="torch-float32").glance(rgb)
    assert glance.patches.shape == (2, 64, 1152) and glance.cls.shape == (2, 384)
    assert (glance.patches - patches).abs().max() < EXACT and (glance.cls - cls).abs().max() < EXACT


def test_the_shipped_file_is_the_one_of_its_notice():
    file = SHIPPED / "dinov2-small.safetensors"
    assert file.stat().st_size <= 45_000_000
    assert hashlib.sha256(file.read_bytes()).hexdigest() in (SHIPPED / "NOTICE").read_text(encoding="utf-8")


def test_auto_takes_openvino_where_it_is_and_else_torch_in_what_the_processor_has(tiny, monkeypatch, caplog):
    folder = tiny[0]
    expected = "openvino" if importlib.util.find_spec("openvino") else "torch"
    assert FrozenEyes.open(folder).engine.startswith(expected)

    def missing(weights, engine):
        raise ImportError("No module named 'openvino'")

    monkeypatch.setattr(frozen, "_openvino", missing)
    for units, name in ((True, "torch-bfloat16"), (False, "torch-float32")):
        monkeypatch.setattr(frozen, "has_bfloat16_units", lambda units=units: units)
        assert FrozenEyes.open(folder).engine == FrozenEyes.open(folder, engine="torch").engine == name
    assert not caplog.records
    with pytest.raises(ModelLoadError, match=r"engine 'openvino' needs openvino: pip install openvino"):
        FrozenEyes.open(folder, engine="openvino")

    def broken(weights, engine):
        raise RuntimeError("no kernel for this processor")

    monkeypatch.setattr(frozen, "_openvino", broken)
    with caplog.at_level(logging.WARNING):
        assert FrozenEyes.open(folder).engine == "torch-float32"
    assert "OpenVINO cannot run them here: no kernel" in caplog.text
    with pytest.raises(ModelLoadError, match="no kernel for this processor"):
        FrozenEyes.open(folder, engine="openvino-float32")


def test_an_engine_that_there_is_not_is_refused(tiny):
    with pytest.raises(ModelLoadError, match="engine is 'onnx', must be one of auto, openvino, torch"):
        FrozenEyes.open(tiny[0], engine="onnx")
    with pytest.raises(ModelLoadError, match="'openvino' runs on the processor only, not on cuda"):
        FrozenEyes.open(tiny[0], device="cuda", engine="openvino")


@pytest.mark.parametrize(
    "rgb",
    [
        np.zeros((70, 70, 3), np.uint8),
        np.zeros((1, 70, 70, 3), np.float32),
        np.zeros((1, 70, 84, 3), np.uint8),
        np.zeros((1, 71, 71, 3), np.uint8),
        np.zeros((0, 70, 70, 3), np.uint8),
    ],
)
def test_what_is_no_batch_of_squares_of_patches_is_refused(rgb, tiny):
    with pytest.raises(InvalidImageError, match="eyes take"):
        FrozenEyes.open(tiny[0], engine="torch-float32").glance(rgb)


def test_a_broken_folder_is_named(tiny, tmp_path):
    with pytest.raises(ModelLoadError, match="config.json cannot be read"):
        FrozenEyes.open(tmp_path)
    config = json.loads((tiny[0] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelLoadError, match="holds no .safetensors files"):
        FrozenEyes.open(tmp_path)
    file = tmp_path / "eyes.safetensors"
    file.write_bytes(b"nothing")
    with pytest.raises(ModelLoadError, match="eyes.safetensors is corrupt"):
        FrozenEyes.open(tmp_path)
    tensors = load_file(tiny[0] / "model.safetensors")
    save_file({name: t for name, t in tensors.items() if "layer.3.mlp.fc1.bias" not in name}, file)
    with pytest.raises(ModelLoadError, match=r"lacks the tensor 'encoder.layer.3.mlp.fc1.bias'"):
        FrozenEyes.open(tmp_path)
    save_file(tensors, file)
    for change, wrong in (
        ({"image_size": 84}, r"embeddings.position_embeddings is \[1, 26, 24\], must be \[1, 37, 24\]"),
        ({"taps": [2, 5]}, r"taps \[2, 5\] do not fit 4 layers"),
        ({"hidden_size": "wide"}, "no configuration of a DINOv2"),
        ({"use_swiglu_ffn": True}, "SwiGLU"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(ModelLoadError, match=wrong):
            FrozenEyes.open(tmp_path)
    del config["patch_size"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelLoadError, match="config.json lacks 'patch_size'"):
        FrozenEyes.open(tmp_path)
