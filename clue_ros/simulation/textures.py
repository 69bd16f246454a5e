"""Seeded procedural textures: table tops, walls and printed labels, uint8[N,N,3] RGB."""

from __future__ import annotations

import colorsys
from typing import Sequence

import cv2
import numpy as np


def noise(rng: np.random.Generator, size: int, octaves: int = 5, stretch=(1.0, 1.0)) -> np.ndarray:
    """Fractal value noise, float32[size,size] in [0, 1]; stretch scales the frequencies along x and y."""
    total = np.zeros((size, size), np.float32)
    for k in range(octaves):
        shape = (max(2, int(2 ** (k + 1) * stretch[1])), max(2, int(2 ** (k + 1) * stretch[0])))
        total += cv2.resize(rng.random(shape).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC) / 2**k
    return (total - total.min()) / np.ptp(total)


SURFACES = ("wood", "wood", "plain", "marble", "cloth", "checks")
HELD_OUT_SURFACES = ("stripes", "dots", "terrazzo")  # never drawn for training


def surface(seed: int, size: int = 256, kinds: Sequence[str] = SURFACES) -> np.ndarray:
    """A table or wall surface, its kind (one of `kinds`), colour and grain drawn from the seed."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(list(kinds))
    if kind == "wood":
        base = colorsys.hsv_to_rgb(rng.uniform(0.04, 0.12), rng.uniform(0.2, 0.65), rng.uniform(0.3, 0.85))
    else:
        base = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.35), rng.uniform(0.35, 0.9))
    y, x = np.mgrid[:size, :size]
    if kind == "wood":
        shade = 0.72 + 0.4 * (0.6 * noise(rng, size, 6, (0.5, 9)) + 0.25 * np.sin(25 * noise(rng, size, 3, (0.5, 5))))
    elif kind == "marble":
        shade = 0.75 + 0.25 * np.abs(np.sin(6 * noise(rng, size, 6))) ** 0.4
    elif kind == "cloth":
        shade = 0.85 + 0.08 * np.sin(x * 1.6) + 0.08 * np.sin(y * 1.6) + 0.05 * noise(rng, size)
    elif kind == "checks":
        shade = np.where(((x // 32) + (y // 32)) % 2, 0.75, 1.0)
    elif kind == "stripes":
        shade = np.where((x // 20) % 2, 0.7, 1.0)
    elif kind == "dots":
        shade = np.where((x % 36 - 18) ** 2 + (y % 36 - 18) ** 2 < 90, 0.62, 1.0)
    elif kind == "terrazzo":
        shade = 0.6 + 0.4 * (noise(rng, size, 6, (6, 6)) > 0.5) * noise(rng, size, 4, (4, 4))
    else:
        shade = 0.93 + 0.07 * noise(rng, size)
    return (np.clip(np.array(base) * shade[..., None], 0, 1) * 255).astype(np.uint8)


def label(seed: int, color, size: int = 64) -> np.ndarray:
    """A printed label: mostly `color` (RGB in [0, 1]) with a thin contrasting stripe and letters."""
    rng = np.random.default_rng(seed)
    image = np.ones((size, size, 3)) * np.array(color)
    ink = np.array([1, 1, 1.0]) if np.mean(color) < 0.5 else np.array([0.08, 0.08, 0.08])
    top = int(rng.integers(8, size - 20))
    image[top : top + int(rng.integers(3, 9))] = ink
    image = (np.clip(image, 0, 1) * 255).astype(np.uint8)
    word = "".join(rng.choice(list("ABCDEFGHKLMNOPRSTUX"), 4))
    cv2.putText(
        image,
        word,
        (4, int(rng.integers(24, size - 6))),
        cv2.FONT_HERSHEY_DUPLEX,
        0.55,
        (ink * 255).tolist(),
        1,
        cv2.LINE_AA,
    )
    return image
