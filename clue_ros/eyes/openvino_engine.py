"""The eyes through OpenVINO (optional; setup.cfg names the version), on x86 and Arm processors.

The graph is built from OpenVINO's own operations. Nothing is traced or converted, and its converter, which reports its
use over the network, is not called. Batch and number of patches stay open, so one compiled model serves every side.
"""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np
import torch

from clue_ros.eyes.weights import GREY, Layer, Matrix, Weights


class OpenvinoEngine:
    """A callable as TorchEngine."""

    def __init__(self, weights: Weights, bfloat16: bool):
        """Raises ImportError without OpenVINO, RuntimeError where it cannot compile for this processor."""
        import openvino  # pyright: ignore[reportMissingImports]  # optional

        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # the cores are shared with the camera, the node and other programs
        }
        self._compiled = core.compile_model(_graph(weights), "CPU", settings)
        self._request = self._compiled.create_infer_request()

    def __call__(self, cells: np.ndarray, offsets: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """cells: uint8[B,1+N,p·p·3]; offsets: float32[1+N,D] -> float32[B,N,taps·D], float32[B,D]."""
        found = self._request.infer([cells, offsets.numpy()])
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])


def has_bfloat16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this processor. Raises ImportError without OpenVINO."""
    import openvino  # pyright: ignore[reportMissingImports]  # optional

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _graph(weights: Weights) -> Any:
    import openvino  # pyright: ignore[reportMissingImports]  # optional
    from openvino import opset13 as op  # pyright: ignore[reportMissingImports]  # optional

    shape = weights.shape
    heads, width = shape.heads, shape.width

    def numbers(values: Any, kind: Any = np.float32) -> Any:
        return op.constant(np.asarray(values, dtype=kind, order="C"))

    def linear(x: Any, matrix: Matrix) -> Any:
        product = op.matmul(x, numbers(matrix.weight), False, True)
        return op.add(product, numbers(matrix.bias))

    def norm(x: Any) -> Any:
        return op.mvn(x, numbers([-1], np.int64), True, shape.eps, "inside_sqrt")

    def attention(layer: Layer, x: Any) -> Any:
        split = op.reshape(linear(x, layer.qkv), numbers([0, 0, 3, heads, width // heads], np.int64), True)
        parts = op.split(op.transpose(split, numbers([2, 0, 3, 1, 4], np.int64)), numbers(0, np.int64), 3)
        q, k, v = (op.squeeze(part, numbers([0], np.int64)) for part in parts.outputs())
        scores = op.matmul(op.multiply(q, numbers((width // heads) ** -0.5)), k, False, True)
        mixed = op.matmul(op.softmax(scores, -1), v, False, False)  # fused; quicker than the operation for all of it
        joined = op.reshape(
            op.transpose(mixed, numbers([0, 2, 1, 3], np.int64)), numbers([0, 0, width], np.int64), True
        )
        return linear(joined, layer.out)

    def patches_of(x: Any) -> Any:
        return op.slice(
            x, numbers([1], np.int64), numbers([2**31 - 1], np.int64), numbers([1], np.int64), numbers([1], np.int64)
        )

    cells = op.parameter([-1, -1, 3 * shape.patch**2], np.uint8, name="cells")
    offsets = op.parameter([-1, width], np.float32, name="offsets")
    pixels = op.subtract(op.convert(cells, "f32"), numbers(np.tile(GREY, shape.patch**2)))
    x = op.add(op.matmul(pixels, numbers(weights.kernel.weight), False, True), offsets)
    found = {}
    for number, layer in enumerate(weights.layers, 1):
        x = op.add(x, attention(layer, norm(x)))
        x = op.add(x, linear(op.gelu(linear(norm(x), layer.up), "erf"), layer.down))
        if number in shape.taps:
            found[number] = norm(x)
    patches = op.concat([patches_of(found[tap]) for tap in shape.taps], -1)
    cls = op.gather(norm(x), numbers(0, np.int64), numbers(1, np.int64))
    return openvino.Model([op.result(patches), op.result(cls)], [cells, offsets], "eyes")
