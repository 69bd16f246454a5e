"""Products with narrow weights: few and many rows take different kernels, which must stand for the same numbers."""

import pytest
import torch

from clue_ros.types import ModelLoadError
from clue_ros.vlm import dense, quantization
from clue_ros.vlm.dense import FEW_ROWS, Dense, Precision, Scratch
from clue_ros.vlm.quantization import GROUP, DeviceInt4Weight, Int4Weight, Int8Weight, quantize

OUT, IN = 96, 128
#: Relative error of a product whose inputs and outputs pass through bfloat16 (8 bits): 2^-9 for each, with some room.
ROUNDING = 6e-3
ROWS = (1, 2, FEW_ROWS, FEW_ROWS + 1, 70)


def rows_of(count, seed=2):
    return torch.randn(count, IN, generator=torch.Generator().manual_seed(seed))


def weights(seed=1, rows=OUT):
    """Output rows of different sizes, off zero: a scale or a zero that is left out shows."""
    random = torch.Generator().manual_seed(seed)
    size = torch.logspace(-1, 1, rows)[:, None]
    return (torch.randn(rows, IN, generator=random) + 0.3) * size


def error(got, expected):
    """Relative, by output column, the largest: the columns' sizes differ by a factor of 100."""
    return float(((got - expected).norm(dim=0) / expected.norm(dim=0)).max())


def steps_of_int4(weight):
    """The 16 values a group that stand for a weight, chosen here independently: float[out,in]."""
    groups = weight.unflatten(1, (-1, GROUP))
    low, high = groups.amin(2, keepdim=True), groups.amax(2, keepdim=True)
    step = (high - low) / 15
    return (low + ((groups - low) / step).round() * step).flatten(1)


def steps_of_int8(weight):
    scale = weight.abs().amax(1, keepdim=True) / 127
    return (weight / scale).round() * scale


@pytest.mark.parametrize(
    "kind, stands_for, rounding",
    [
        (Int8Weight, steps_of_int8, ROUNDING),
        (Int4Weight, steps_of_int4, 2 * ROUNDING),  # scale and zero are kept in bfloat16 as well
    ],
)
def test_few_and_many_rows_of_a_quantised_weight_agree(kind, stands_for, rounding):
    weight, scratch, x = weights(), Scratch(), rows_of(max(ROWS))
    quantised, meant = kind(weight), stands_for(weight)
    assert error(x @ meant.T, x @ weight.T) > 1e-3, "the quantisation must show in this test"
    together = quantised.product(x, scratch)
    assert together.dtype == torch.float32 and together.shape == (max(ROWS), OUT)
    assert error(together, x @ meant.T) < rounding
    for count in ROWS:
        parts = torch.cat([quantised.product(part, scratch) for part in x.split(count)])
        assert error(parts, x @ meant.T) < rounding, f"{count} rows at a time"
        assert error(parts, together) < rounding
    folded = quantised.product(x.view(7, 10, IN), scratch)
    assert torch.equal(folded, together.view(7, 10, OUT))


@pytest.mark.parametrize("with_bias", [False, True])
def test_few_and_many_rows_of_bfloat16_weights_agree(with_bias, monkeypatch):
    """As on processors without bfloat16 units: few rows are narrowed, for many the weight is widened, by blocks."""
    monkeypatch.setattr(dense, "_BLOCK", 40)  # so that 96 outputs take several blocks, the last one smaller
    monkeypatch.setattr(dense, "_WIDENED", 36 * IN)
    weight, x = weights().bfloat16(), rows_of(max(ROWS))
    bias = torch.linspace(-50, 50, OUT) if with_bias else None
    product = Dense(weight, bias, Precision(torch.bfloat16, torch.float32), Scratch())
    exact = x @ weight.float().T + (bias if with_bias else 0)
    together = product(x)
    assert together.dtype == torch.float32 and torch.allclose(together, exact, rtol=1e-4, atol=1e-4)
    for count in ROWS:
        parts = torch.cat([product(part) for part in x.split(count)])
        assert parts.dtype == torch.float32 and error(parts, exact) < ROUNDING, f"{count} rows at a time"
    some = torch.cat([product.rows(part, 10, 30) for part in x.split(1)]) if not with_bias else exact[:, 10:40]
    assert error(some, exact[:, 10:40]) < ROUNDING


@pytest.mark.parametrize(
    "kind, sides, taken",
    [("int8", (5, 7), True), ("int4", (32, 64), True), ("int4", (24, 64), False), ("int4", (32, 40), False)],
)
def test_shared_weights_stay_shared_and_odd_sides_stay_as_they_are(kind, sides, taken):
    weight = torch.randn(*sides, generator=torch.Generator().manual_seed(4))
    precision, scratch = Precision.choose("cpu", torch.float32), Scratch()
    one, other = (Dense(weight, None, precision, scratch) for _ in range(2))
    before = one(torch.ones(1, sides[1]))
    quantize([one, other], kind, "cpu")
    assert one.weight is other.weight and isinstance(one.weight, torch.Tensor) != taken
    assert torch.allclose(one(torch.ones(1, sides[1])), before, atol=0 if not taken else 0.2 * sides[1] ** 0.5)


def test_int8_on_a_gpu_multiplies_the_widened_weight_and_leaves_the_scratch_alone():
    """A captured graph would read the scratch after it was made again."""
    weight, scratch, x = weights(), Scratch(), rows_of(3)
    quantised = Int8Weight(weight)
    assert quantised.packed
    quantised.packed = False
    assert error(quantised.product(x, scratch), x @ steps_of_int8(weight).T) < ROUNDING and not scratch._buffers


def test_an_int4_kernel_of_a_gpu_that_multiplies_wrongly_is_refused_while_loading(monkeypatch):
    weight, x = weights(), rows_of(3)
    pack = lambda change: monkeypatch.setattr(quantization, "_by_torchao", lambda w, device: change(steps_of_int4(w)))
    pack(lambda w: w)
    right = DeviceInt4Weight(weight, "cuda")
    assert right.shape == weight.shape and error(right.product(x, Scratch()), x @ steps_of_int4(weight).T) < ROUNDING
    for change in (lambda w: w.roll(GROUP, 1), torch.zeros_like, lambda w: w * float("nan")):
        pack(change)
        with pytest.raises(ModelLoadError, match="int4 kernel of cuda multiplies wrongly.*int8, or none"):
            DeviceInt4Weight(weight, "cuda")


def test_int4_on_a_gpu_without_torchao_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchao.quantization", None)
    with pytest.raises(ModelLoadError, match="needs torchao: pip install torchao"):
        DeviceInt4Weight(weights(), "cuda")


@pytest.mark.parametrize("kind", [Int8Weight, Int4Weight])
def test_rounding_by_blocks_of_rows_is_rounding_at_once(kind, monkeypatch):
    """The last block is smaller than what the kernel's layout interleaves."""
    weight, x = weights(rows=OUT + 64), rows_of(3)
    at_once = kind(weight).product(x, Scratch())
    monkeypatch.setattr(quantization, "_ROUNDED", 1)
    assert len(list(quantization._blocks(weight))) == 3
    assert torch.equal(kind(weight).product(x, Scratch()), at_once)
