"""PaliGemma's own masks: 16 `<seg>` tokens are codes of a VQ-VAE, whose decoder makes a 64 x 64 mask of them.

The decoder's weights come with neither PaliGemma's checkpoint nor this package: the user supplies them, once, from the
published vae-oid.npz (big_vision), with `clue mask decoder vae-oid.npz --output MODEL`. The file that is read here is
`segmentation.safetensors` in the model directory, with the tensors under the names that they have in the npz.
Architecture and use: big_vision, evaluators/proj/paligemma/transfers/segmentation.py. Never run on the real weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from clue_ros.types import ModelLoadError

FILE = "segmentation.safetensors"
CODE_COUNT = 128  # entries of the codebook
CODEBOOK = "_vq_vae._embedding"


class SegmentDecoder(nn.Module):
    """int64[B,16] codes -> float32[B,64,64] in about [-1, 1], positive inside. The 16 codes are a 4 x 4 grid, row by
    row.

    code_width: of an entry of the codebook; channels: of the convolutions.
    """

    codebook: torch.Tensor

    def __init__(self, code_width: int = 512, channels: int = 128):
        super().__init__()
        self.register_buffer("codebook", torch.zeros(CODE_COUNT, code_width))
        c = channels
        grown: List[nn.Module] = []
        for width, next_width in ((c, c), (c, c // 2), (c // 2, c // 4), (c // 4, c // 8)):
            grown += [nn.ConvTranspose2d(width, next_width, 4, stride=2, padding=1), nn.ReLU()]
        self.decoder = nn.Sequential(
            nn.Conv2d(code_width, c, 1), nn.ReLU(), _Residual(c), _Residual(c), *grown, nn.Conv2d(c // 8, 1, 1)
        )

    @torch.inference_mode()
    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        entries = self.codebook[codes].unflatten(1, (4, 4)).permute(0, 3, 1, 2)
        return self.decoder(entries)[:, 0]

    def named(self) -> Dict[str, torch.Tensor]:
        """The tensors under the published names."""
        return {CODEBOOK if k == "codebook" else k: v for k, v in self.state_dict().items()}

    @classmethod
    def of(cls, tensors: Dict[str, torch.Tensor]) -> "SegmentDecoder":
        """From tensors under the published names; others (of the encoder) are left out. Raises ValueError naming what
        is missing or of another shape."""
        try:
            decoder = cls(tensors[CODEBOOK].shape[1], tensors["decoder.0.weight"].shape[0])
        except (KeyError, IndexError) as error:
            raise ValueError(f"it lacks {error}: these are not the weights of PaliGemma's mask decoder") from error
        wanted = decoder.named()
        wrong = [k for k, v in wanted.items() if k not in tensors or tensors[k].shape != v.shape]
        if wrong:
            raise ValueError(f"{len(wrong)} tensors are missing or of another shape, for example {wrong[0]}")
        decoder.load_state_dict({"codebook" if k == CODEBOOK else k: tensors[k].float() for k in wanted})
        return decoder.eval().requires_grad_(False)

    def save(self, folder: Path) -> Path:
        file = Path(folder) / FILE
        save_file({k: v.contiguous() for k, v in self.named().items()}, str(file))
        return file

    @classmethod
    def load(cls, folder: Path, device: Union[str, torch.device] = "cpu") -> "Optional[SegmentDecoder]":
        """None where the directory has no such file. Raises ModelLoadError for one that cannot be used."""
        file = Path(folder) / FILE
        if not file.is_file():
            return None
        try:
            return cls.of(load_file(str(file))).to(device)
        except (OSError, SafetensorError, ValueError) as error:
            raise ModelLoadError(f"{file} cannot be used as PaliGemma's mask decoder: {error}") from error

    def paste(self, codes: Sequence[int], box: Sequence[float], size: Tuple[int, int]) -> np.ndarray:
        """bool[height,width]: the mask of 16 codes in its pixel box. size: (width, height) of the image."""
        width, height = size
        x0, y0 = max(0, int(box[0])), max(0, int(box[1]))
        x1, y1 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
        whole = np.zeros((height, width), bool)
        if x1 > x0 and y1 > y0:
            device = self.codebook.device
            mask = self(torch.tensor([list(codes)], device=device))[:, None]
            inner = F.interpolate(mask, (y1 - y0, x1 - x0), mode="bilinear", align_corners=False)[0, 0]
            whole[y0:y1, x0:x1] = (inner > 0).cpu().numpy()
        return whole


class _Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.net(x)


def convert(npz: Path, folder: Path) -> Path:
    """The published npz as FILE in a model directory. Arrays only are read: an npz that holds pickled objects is
    refused.
    Raises ModelLoadError."""
    try:
        with np.load(npz, allow_pickle=False) as arrays:
            tensors = {
                k: torch.from_numpy(arrays[k]) for k in arrays.files if k == CODEBOOK or k.startswith("decoder.")
            }
        return SegmentDecoder.of(tensors).save(folder)
    except (OSError, ValueError, TypeError) as error:
        raise ModelLoadError(f"{npz} cannot be converted: {error}") from error
