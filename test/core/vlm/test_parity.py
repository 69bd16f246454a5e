"""The serving runtime against transformers, token by token, and its own forms (merged, quantised) against each
other.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sharp_model import PREFIXES, SCENES, settings, sharp

from clue_ros.vlm.adapters import load_adapters, projection_shapes, read_adapter
from clue_ros.vlm.decoding import Branch, FreeSequence
from clue_ros.vlm.dense import Precision
from clue_ros.vlm.paligemma import PaliGemmaBackbone


def write_adapter(model, folder, name="dialogue", seed=5):
    """A peft adapter that changes something, saved by peft, and left out of the model again."""
    from clue_ros.training.adapters import add_adapter, named_adapter_parameters, save_adapter

    add_adapter(model, name, None)
    torch.manual_seed(seed)
    with torch.no_grad():
        for _, parameter in named_adapter_parameters(model, name):
            parameter.normal_(0, 0.1)
    save_adapter(model, name, folder / "adapters" / name)


def inputs_of(b, prefixes, images):
    """What a user would give transformers' generate: left-padded ids with image tokens, pixels, token types."""
    from clue_ros.geometry import to_square

    rows = []
    for prefix in prefixes:
        ids = b.tokens.prefix(prefix).ids[0].tolist()
        rows.append([b.model.config.image_token_id] * (b.grid**2) + ids)
    width = max(map(len, rows))
    pad = b.tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (width - len(r)) + r for r in rows])
    there = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows])
    pixels = torch.stack([torch.from_numpy(to_square(i, b.side)).permute(2, 0, 1).float() / 127.5 - 1 for i in images])
    return dict(input_ids=ids, attention_mask=there, token_type_ids=torch.zeros_like(ids), pixel_values=pixels)


@pytest.fixture
def gaps(monkeypatch):
    """Distance of the two best logits of every free token so far. Where it is tiny, rounding (which depends on how the
    machine shares its threads out) may choose either, and what follows differs rightly."""
    seen = []
    feed = FreeSequence.feed

    def recorded(self, logits):
        best, second = logits.topk(2).values.tolist()
        seen.append(best - second)
        return feed(self, logits)

    monkeypatch.setattr(FreeSequence, "feed", recorded)
    return seen


def agree(got, expected, gaps):
    """Assert equal tokens up to the first tie; returns how many that are."""
    sure = next((n for n, gap in enumerate(gaps) if gap < 5e-3), len(gaps))
    assert list(got)[:sure] == list(expected)[:sure]
    return sure


def transformers_text(model, inputs, eos, limit):
    with torch.inference_mode():
        out = model.generate(**inputs, do_sample=False, max_new_tokens=limit, eos_token_id=eos)
    new = out[:, inputs["input_ids"].shape[1] :].tolist()
    return [row[: row.index(eos)] if eos in row else row for row in new]


@pytest.mark.parametrize("softcap", [None, 8.0])
@pytest.mark.parametrize("adapted", [False, True])
def test_the_loop_gives_the_tokens_of_generate(tiny_size, tmp_path, softcap, adapted, gaps):
    tokenizer, model = sharp(tiny_size, softcap)
    adapters = {}
    if adapted:
        write_adapter(model, tmp_path)
        reference = model.eval()  # with the layers of peft, as a user would run it; they come in training mode
        reference.set_adapter("dialogue")
        tokenizer, model = sharp(tiny_size, softcap)
        adapters = load_adapters(model.model.language_model, tmp_path, ["dialogue"])
    else:
        reference = sharp(tiny_size, softcap)[1]
    b = PaliGemmaBackbone(
        model, tokenizer, settings(dialogue_adapter="dialogue" if adapted else ""), adapters, merge="no"
    )
    compared = 0
    for prefix, image in zip(PREFIXES, SCENES):
        expected = transformers_text(reference, inputs_of(b, [prefix], [image]), b.vocabulary.eos, 24)[0]
        gaps.clear()
        got = b.complete(b.encode(image), prefix, limit=24, adapter=b.settings.dialogue_adapter)
        compared += agree(got.tokens, expected, gaps)
        assert len(got.certainty) == len(expected) and all(0 < c <= 1 for c in got.certainty)
    assert compared >= 20
    if adapted:
        plain = b.complete(b.encode(SCENES[1]), PREFIXES[1], limit=24)
        with_it = b.complete(b.encode(SCENES[1]), PREFIXES[1], limit=24, adapter="dialogue")
        assert plain.tokens != with_it.tokens, "the adapter changed nothing, so this test shows nothing"


@pytest.fixture(scope="module")
def adapted(tiny_size, tmp_path_factory):
    """(folder with an adapter, function making a backbone with it)."""
    folder = tmp_path_factory.mktemp("adapted")
    write_adapter(sharp(tiny_size, None)[1], folder)

    def make(mode="full", **how):
        tokenizer, model = sharp(tiny_size, None)
        adapters = load_adapters(model.model.language_model, folder, ["dialogue"])
        return PaliGemmaBackbone(model, tokenizer, settings(mode, dialogue_adapter="dialogue"), adapters, **how)

    return folder, make


def test_our_reading_of_an_adapter_is_pefts(adapted, tiny_size):
    folder, _ = adapted
    _, model = sharp(tiny_size, None)
    shapes = projection_shapes(model.model.language_model)
    factors = read_adapter(folder / "adapters" / "dialogue", shapes)
    model.load_adapter(str(folder / "adapters" / "dialogue"), adapter_name="dialogue")
    assert len(shapes) == 7 * len(model.model.language_model.layers) == sum(len(v) for v in factors.values())
    for index, layer in enumerate(model.model.language_model.layers):
        for name, module in layer.named_modules():
            if hasattr(module, "get_delta_weight"):
                down, up = factors[index][name.rsplit(".", 1)[-1]]
                assert torch.allclose(up @ down, module.get_delta_weight("dialogue"), atol=1e-6)


@pytest.mark.parametrize("mode", ["full", "image_blind"])
def test_merged_equals_unmerged(adapted, mode):
    beside, merged = adapted[1](mode, merge="no"), adapted[1](mode, merge="yes")
    assert beside.plan_of("dialogue").matrices()[0].low_rank and not merged.plan_of("dialogue").matrices()[0].low_rank
    for prefix, image in zip(PREFIXES, SCENES):
        one, other = (b.prefill(b.encode(image), prefix, tap=True) for b in (beside, merged))
        assert torch.allclose(one.logits, other.logits, atol=2e-4)
        assert torch.allclose(one.attention_map, other.attention_map, atol=1e-3)
        assert (
            beside.generate(one, frozenset({Branch.BOX})).tokens
            == merged.generate(other, frozenset({Branch.BOX})).tokens
        )


def test_an_adapter_at_its_start_changes_nothing(tiny_size, tmp_path):
    from clue_ros.training.adapters import add_adapter, save_adapter

    _, model = sharp(tiny_size, None)
    add_adapter(model, "dialogue", None)
    save_adapter(model, "dialogue", tmp_path / "adapters" / "dialogue")
    tokenizer, model = sharp(tiny_size, None)
    adapters = load_adapters(model.model.language_model, tmp_path, ["dialogue"])
    b = PaliGemmaBackbone(model, tokenizer, settings(dialogue_adapter="dialogue"), adapters, merge="no")
    assert b.adapters == {"dialogue"}
    image = b.encode(SCENES[0])
    with_it = b.prefill(image, PREFIXES[0]).logits.clone()
    assert torch.equal(with_it, b.prefill(image, PREFIXES[0], adapter="").logits)


@pytest.mark.parametrize("kind, bound", [("int8", 0.05), ("int4", 0.5)])
def test_quantised_differs_by_a_bounded_amount(kind, bound):
    """On the shipped model: the logits' distance relative to their size (kernel by kernel: test_products.py)."""
    from clue_ros.grounder import EMBEDDED_MODEL

    plain = PaliGemmaBackbone.from_pretrained(EMBEDDED_MODEL)
    small = PaliGemmaBackbone.from_pretrained(EMBEDDED_MODEL, quantization=kind)
    assert all(not isinstance(m.weight, torch.Tensor) for m in small.plan.matrices())
    scene = np.full((224, 224, 3), 180, np.uint8)
    scene[90:140, 40:90] = (200, 30, 30)
    for prefix in ("clarify the red box", "clarify hand me the box please"):
        a, b = plain.prefill(plain.encode(scene), prefix), small.prefill(small.encode(scene), prefix)
        difference = float((a.logits - b.logits).norm() / a.logits.norm())
        assert 0 < difference < bound, f"{kind}: {difference}"


def test_bfloat16_weights_give_float32_results_where_there_are_no_bfloat16_units(tiny_size):
    tokenizer, model = sharp(tiny_size, None)
    reference = PaliGemmaBackbone(model, tokenizer, settings())
    tokenizer, narrow = sharp(tiny_size, None)
    b = PaliGemmaBackbone(
        narrow.to(torch.bfloat16), tokenizer, settings(), precision=Precision(torch.bfloat16, torch.float32)
    )
    assert b.plan.matrices()[0].weight.dtype == torch.bfloat16
    a, c = (x.attention_map(x.encode(SCENES[0]), PREFIXES[0]) for x in (reference, b))
    assert c.dtype == torch.float32 and float((a - c).abs().mean()) < 0.05


@pytest.mark.parametrize(
    "storage, compute",
    [(torch.float32, torch.float32), (torch.bfloat16, torch.float32), (torch.bfloat16, torch.bfloat16)],
)
@pytest.mark.parametrize("kind", ["none", "int8", "int4"])
@pytest.mark.parametrize("mode", ["full", "image_blind"])
def test_every_pair_of_quantization_and_dtype_does_every_step(tiny_size, mode, kind, storage, compute):
    """Whatever bfloat16 units this processor has or has not."""
    tiny_size = replace(tiny_size, text_mlp=64)  # a multiple of int4's groups, so that every matrix is quantised
    tokenizer, model = sharp(tiny_size, None)
    reference = PaliGemmaBackbone(model, tokenizer, settings(mode))
    tokenizer, model = sharp(tiny_size, None)
    b = PaliGemmaBackbone(
        model.to(storage), tokenizer, settings(mode), precision=Precision(storage, compute), quantization=kind
    )
    images = [b.encode(s) for s in SCENES]
    b.look(images[0])
    start = b.prefill(images[0], PREFIXES[0], tap=True)
    assert torch.isfinite(start.logits).all() and torch.isfinite(b.attention_map(images[0], PREFIXES[0])).all()
    expected = reference.prefill(reference.encode(SCENES[0]), PREFIXES[0]).logits
    assert float(torch.nn.functional.cosine_similarity(start.logits.float(), expected, 0)) > (
        0.85 if kind == "int4" else 0.98
    )
    assert len(b.generate(start, frozenset({Branch.BOX})).bins) == 4
    assert b.generate(start, frozenset({Branch.QUESTION})).tokens
    assert b.complete(images[1], PREFIXES[1], limit=5).tokens
    assert b.word_states(images[1], PREFIXES[1])[0].isfinite().all()


def endless(b):
    """Nothing ends by itself."""
    b.vocabulary = replace(b.vocabulary, eos=b.vocabulary.first_location)
    return b


@pytest.mark.parametrize("mode", ["full", "image_blind"])
@pytest.mark.parametrize("limit", [63, 64, 65, 200])
def test_free_text_may_be_longer_than_the_room_that_was_made_for_it(tiny_size, mode, limit, gaps):
    tokenizer, model = sharp(tiny_size, 16.0)
    b = endless(PaliGemmaBackbone(model, tokenizer, settings(mode)))
    image = b.encode(SCENES[0])
    b.prefill(image, "clarify " + "mug " * 120)  # a workspace larger than the next prefix needs
    for prefix in ("detect " + "mug " * 130 + "mug", PREFIXES[0]):
        gaps.clear()
        text = b.complete(image, prefix, limit=limit)
        assert len(text.tokens) == limit
    margins = list(gaps)
    if mode == "full":
        theirs = transformers_text(
            sharp(tiny_size, 16.0)[1], inputs_of(b, [PREFIXES[0]], [SCENES[0]]), b.vocabulary.eos, limit
        )
        assert agree(text.tokens, theirs[0], margins) >= 20


def test_looking_ahead_gives_the_same_tokens_and_the_same_map(tiny_model_dir):
    b = PaliGemmaBackbone.from_pretrained(tiny_model_dir)
    for prefix, scene in zip(PREFIXES, SCENES):
        direct, ahead = b.encode(scene), b.encode(scene)
        b.look(ahead)
        b.look(ahead, "detector", b.settings.tap_layer + 1)
        seen = dict(ahead.caches)
        assert set(seen) == {"detector", "dialogue"}
        assert torch.equal(b.attention_map(direct, prefix), b.attention_map(ahead, prefix))
        one, other = b.prefill(direct, prefix), b.prefill(ahead, prefix)
        assert torch.equal(one.logits, other.logits)
        for branch in (Branch.BOX, Branch.QUESTION):
            assert b.generate(one, frozenset({branch})).tokens == b.generate(other, frozenset({branch})).tokens
        assert all(ahead.caches[k][0] is seen[k][0] for k in seen), "the image was run again"


def test_a_long_dialogue_outgrows_the_cache_and_changes_nothing(tiny_model_dir):
    b = PaliGemmaBackbone.from_pretrained(tiny_model_dir)
    prefix = "clarify the mug " + "assistant: left or right ? user: the red one " * 40
    ahead = b.encode(SCENES[0])
    b.look(ahead)
    assert torch.equal(b.prefill(ahead, prefix).logits, b.prefill(b.encode(SCENES[0]), prefix).logits)


def test_a_prefill_whose_tokens_are_gone_is_refused(tiny_model_dir):
    b = PaliGemmaBackbone.from_pretrained(tiny_model_dir)
    image = b.encode(SCENES[0])
    old = b.prefill(image, PREFIXES[0])
    b.prefill(image, PREFIXES[1])
    with pytest.raises(ValueError, match="overwritten"):
        b.generate(old, frozenset({Branch.BOX}))


@pytest.mark.parametrize("mode, softcap", [("full", 8.0), ("image_blind", None)])
def test_the_step_of_fixed_shapes_gives_the_logits_of_the_ordinary_one(tiny_size, mode, softcap):
    """What a GPU captures as a graph, run without one."""
    from clue_ros.vlm.step_graph import StaticStep

    tokenizer, model = sharp(tiny_size, softcap)
    b = PaliGemmaBackbone(model, tokenizer, settings(mode))
    with torch.inference_mode():
        start = b.prefill(b.encode(SCENES[1]), PREFIXES[1])
        wide = b.plan.new_cache(start.cache.capacity + 40)
        wide.take(start.cache, start.position)
        steps = {None: StaticStep(b.plan, wide), (100, 50): StaticStep(b.plan, wide, (100, 50))}
        for n, token in enumerate((5, 300, 17)):
            position = start.position + 1 + n
            ordinary = b.plan.run(b.plan.embed(torch.tensor([[token]])), b.plan.place(position, 1), start.cache).hidden[
                :, -1
            ]
            for outputs, step in steps.items():
                step.set(token, position)
                assert torch.allclose(step.run(), b.plan.logits(ordinary, *(outputs or ()))[0], atol=2e-4)


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA GPU: the captured decode step against the CPU's tokens"
)
def test_a_gpu_gives_the_boxes_of_the_cpu():
    from clue_ros.grounder import EMBEDDED_MODEL

    on_cpu = PaliGemmaBackbone.from_pretrained(EMBEDDED_MODEL)
    on_gpu = PaliGemmaBackbone.from_pretrained(EMBEDDED_MODEL, "cuda", torch.float32)
    for scene in SCENES:
        boxes = [
            b.generate(b.prefill(b.encode(scene), "clarify the red mug"), frozenset({Branch.BOX})).bins
            for b in (on_cpu, on_gpu)
        ]
        assert np.abs(np.subtract(*boxes)).max() <= 2
