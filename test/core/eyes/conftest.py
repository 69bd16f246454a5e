"""A DINOv2 with random weights and a few thousand parameters, as transformers writes one, beside a picture."""

import numpy as np
import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from clue_ros.eyes.sight import Sight


@pytest.fixture(autouse=True)
def every_picture_is_seen(monkeypatch):
    monkeypatch.setattr(Sight, "see", Sight.seeing)  # test/seen_pictures.py


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """(folder, the model in float32): 4 layers of width 24, positions for 5 x 5 patches."""
    torch.manual_seed(3)
    config = Dinov2Config(
        hidden_size=24, num_hidden_layers=4, num_attention_heads=3, mlp_ratio=2, image_size=70, patch_size=14
    )
    model = Dinov2Model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    folder = tmp_path_factory.mktemp("eyes")
    model.save_pretrained(folder)
    return folder, model


@pytest.fixture(scope="session")
def picture():
    """A function of a side: uint8[2,side,side,3], smooth as photographs are."""

    def make(side):
        x, y = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
        waves = [np.sin(9 * x + phase) * np.cos(7 * y * (1 + phase)) for phase in (0, 1, 2)]
        one = (127 + 120 * np.stack(waves, -1)).astype(np.uint8)
        return np.stack([one, one[::-1, ::-1]])

    return make


@pytest.fixture(scope="session")
def reference():
    """A function of (model, taps, rgb): (patches, cls) as frozen.Glance describes them, by transformers in float32."""

    def norm(x):
        return torch.nn.functional.layer_norm(x, x.shape[-1:], eps=1e-6)

    def look(model, taps, rgb):
        pixels = (torch.from_numpy(rgb.copy()).double() / 255 - torch.tensor([0.485, 0.456, 0.406]).double()) / (
            torch.tensor([0.229, 0.224, 0.225]).double()
        )
        with torch.no_grad():
            hidden = model(pixels.float().permute(0, 3, 1, 2).contiguous(), output_hidden_states=True).hidden_states
        return torch.cat([norm(hidden[tap])[:, 1:] for tap in taps], -1), norm(hidden[-1][:, 0])

    return look
