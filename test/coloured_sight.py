"""Eyes that see every coloured rectangle on grey as a thing and say its colour, so that what is taught can be drawn;
and a model behind them that knows a few words."""

import re

import cv2
import numpy as np
import torch

from clue_ros.eyes.sight import Sight, SightShape, Things
from clue_ros.location import box_to_bins
from clue_ros.types import Box
from clue_ros.vlm.passes import Completion, EncodedImage
from clue_ros.vlm.settings import ClueSettings

GREY, RED, BLUE, GREEN = (120, 120, 120), (200, 30, 30), (30, 30, 200), (30, 160, 30)


class ColourSight(Sight):
    """looked: crops that it was shown."""

    fingerprint = "colours"

    def __init__(self, fingerprint="colours"):
        self.shape, self.glances, self.looked, self.fingerprint = SightShape(vector=3), 8, 0, fingerprint

    def things(self, rgb):
        height, width = rgb.shape[:2]
        found = cv2.connectedComponentsWithStats((np.ptp(rgb.astype(int), axis=2) > 40).astype(np.uint8))[2][1:]
        boxes = [(x, y, x + w, y + h) for x, y, w, h, _ in found]
        colours = [_unlike_grey(rgb[y0:y1, x0:x1]) for x0, y0, x1, y1 in boxes]
        shares = np.array(boxes, np.float32).reshape(-1, 4) / (width, height, width, height)
        return Things(np.array(colours, np.float32).reshape(-1, 3), shares.astype(np.float32), np.ones(len(boxes)))

    def vectors(self, crops, boxes):
        self.looked += len(crops)
        spans = (boxes * crops.shape[1]).round().astype(int)
        return np.array([_unlike_grey(c[b[1] : b[3], b[0] : b[2]]) for c, b in zip(crops, spans)], np.float32)


def _unlike_grey(pixels):
    return pixels.reshape(-1, 3).mean(0) - GREY


def drawn(*things, size=(320, 240)):
    """uint8[H,W,3] with (colour, x0, y0, x1, y1) on grey."""
    rgb = np.full((size[1], size[0], 3), GREY, np.uint8)
    for colour, x0, y0, x1, y1 in things:
        rgb[y0:y1, x0:x1] = colour
    return rgb


WORDS = frozenset("hand me the a my of to left right red blue cup mug one thing box next please or do you mean".split())


class CupBackbone:
    """Knows WORDS, and sees a cup wherever something is green."""

    remarks = ()

    def __init__(self, sight):
        self.sight, self.words, self.settings, self.device = sight, WORDS, ClueSettings(), "cpu"
        self.asked = []

    def respelled(self, text):
        return text

    def unknown_words(self, text):
        return tuple(w for w in re.findall(r"[a-z0-9'-]+", text.lower()) if w not in WORDS)

    def without_unknown(self, text):
        return " ".join(w for w in text.split() if w in WORDS)

    def encode(self, rgb):
        return EncodedImage(torch.from_numpy(rgb), rgb.shape[1], rgb.shape[0])

    def look(self, image):
        pass

    def attention_map(self, image, prefix):
        return torch.linspace(0, 1, 64).reshape(8, 8)

    def complete(self, image, prefix, limit=64, should_stop=None, adapter=None, ends_from=0.0):
        self.asked.append(prefix)
        tokens, seen = [], ColourSight().things(image.features.numpy())
        if prefix in ("detect cup", "detect mug"):
            for vector, box in zip(seen.vectors, seen.boxes):
                if vector.argmax() == 1:
                    size = image.width, image.height
                    pixels = Box(*(v * s for v, s in zip(map(float, box), size * 2)))
                    tokens += [1000 + b for b in box_to_bins(pixels, *size)] + [8]
        bins = tuple(t - 1000 if t >= 1000 else -1 for t in tokens)
        return Completion("", tuple(tokens), bins, (0.9,) * len(tokens), 1.0, (0.0,) * len(tokens))
