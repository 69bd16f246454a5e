"""Weights read matrix by matrix: the same model as transformers loads, in every form, from every layout of files."""

import itertools
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PaliGemmaForConditionalGeneration

from clue_ros.training.tabletop_model import build_model
from clue_ros.types import ModelLoadError
from clue_ros.vlm import shards as shards_module
from clue_ros.vlm.dense import DTYPES, LITTLE, Precision
from clue_ros.vlm.loading import load_directory
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.quantization import KINDS
from clue_ros.vlm.shards import INDEX, Shards

IMAGE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
OLD = {
    "model.language_model.": "language_model.model.",
    "model.vision_tower.": "vision_tower.vision_model.",
    "model.multi_modal_projector.": "multi_modal_projector.",
}
FLOAT32 = Precision(torch.float32, torch.float32)


def write(folder, tensors, files=1):
    """The tensors in so many files, with an index if there are several."""
    for old in (*folder.glob("*.safetensors"), *folder.glob(INDEX)):
        old.unlink()
    names = sorted(tensors)
    if files == 1:
        return save_file(tensors, folder / "model.safetensors")
    places = {name: f"model-{n % files + 1:05d}-of-{files:05d}.safetensors" for n, name in enumerate(names)}
    for file in set(places.values()):
        save_file({n: tensors[n] for n in names if places[n] == file}, folder / file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))


@pytest.fixture
def folder(tmp_path, tiny_size, gemma_like_tokenizer):
    """A model directory with soft-capped layers, all of whose numbers (gains and biases too) are random."""
    from dataclasses import replace

    model = build_model(gemma_like_tokenizer, replace(tiny_size, text_mlp=64))  # wide enough for int4's groups
    model.config.text_config.attn_logit_softcapping = 50.0
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=random)
    model.save_pretrained(tmp_path)
    gemma_like_tokenizer.save_pretrained(tmp_path)
    return tmp_path


def tensors_of(folder):
    return {n: t for f in folder.glob("*.safetensors") for n, t in load_file(f).items()}


def renamed(name, names):
    for new, old in names.items():
        if name.startswith(new):
            return old + name.removeprefix(new)
    return name


def in_modern_names(tensors):
    inverse = {old: new for new, old in OLD.items()} | {"vision_tower.": "model.vision_tower."}
    return {renamed(n, inverse): t for n, t in tensors.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.parametrize("names", [{}, OLD], ids=["new names", "old names"])
def test_what_is_loaded_is_what_transformers_loads(folder, names, files, dtype):
    write(folder, {renamed(n, names): t for n, t in in_modern_names(tensors_of(folder)).items()}, files)
    ours = load_directory(folder, "cpu", Precision(dtype, dtype)).model
    theirs = PaliGemmaForConditionalGeneration.from_pretrained(folder, dtype=dtype)
    expected, found = theirs.state_dict(), ours.state_dict()
    assert set(found) == set(expected) and len(found) > 60
    assert all(torch.equal(found[n], expected[n]) and found[n].dtype == expected[n].dtype for n in expected)
    buffers = dict(theirs.named_buffers())
    assert dict(ours.named_buffers()).keys() == buffers.keys()
    assert all(torch.equal(b.float(), buffers[n].float()) for n, b in ours.named_buffers())
    assert not ours.training and not any(p.requires_grad for p in ours.parameters())
    assert ours.lm_head.weight is ours.model.language_model.embed_tokens.weight and ours.dtype == dtype


@pytest.mark.parametrize("kind, dtype", itertools.product(KINDS, DTYPES))
def test_a_model_put_together_matrix_by_matrix_is_the_one_quantised_whole(folder, kind, dtype):
    write(folder, tensors_of(folder), files=4)
    b = PaliGemmaBackbone.from_pretrained(folder, dtype=dtype, quantization=kind)
    loaded = load_directory(folder, "cpu", b.precision)
    whole = PaliGemmaBackbone(*loaded, precision=b.precision, quantization=kind)
    assert b.precision.storage == (DTYPES[dtype] or torch.float32)
    one, other = (m.prefill(m.encode(IMAGE), "clarify the red mug").logits for m in (b, whole))
    assert torch.equal(one, other) and one.isfinite().all()
    types = {type(m.weight).__name__ for m in b.plan.matrices()}
    assert types == {{"none": "Tensor", "int8": "Int8Weight", "int4": "Int4Weight"}[kind]}


def test_the_modules_of_a_model_that_is_not_quantised_keep_working(folder):
    b = PaliGemmaBackbone.from_pretrained(folder)
    attention = b.model.model.language_model.layers[0].self_attn
    assert attention.k_proj.weight.data_ptr() == b.plan.matrices()[0].weight[attention.q_proj.out_features :].data_ptr()
    theirs = PaliGemmaForConditionalGeneration.from_pretrained(folder)
    x = torch.randn(1, 5, attention.q_proj.in_features)
    assert torch.equal(attention.v_proj(x), theirs.model.language_model.layers[0].self_attn.v_proj(x))


@pytest.mark.parametrize("head", ["only", "equal", "other", "untied"])
def test_a_head_in_the_file_is_taken_as_transformers_takes_it(folder, head):
    tensors = in_modern_names(tensors_of(folder))
    embedding = "model.language_model.embed_tokens.weight"
    tensors["lm_head.weight"] = tensors[embedding].clone() + (1.0 if head in ("other", "untied") else 0.0)
    if head == "only":
        del tensors[embedding]
    if head == "untied":
        config = json.loads((folder / "config.json").read_text())
        config["tie_word_embeddings"] = config["text_config"]["tie_word_embeddings"] = False
        (folder / "config.json").write_text(json.dumps(config))
    write(folder, tensors)
    ours = load_directory(folder, "cpu", FLOAT32).model
    theirs = PaliGemmaForConditionalGeneration.from_pretrained(folder)
    tied = ours.lm_head.weight is ours.model.language_model.embed_tokens.weight
    assert tied == (head in ("only", "equal"))
    assert torch.equal(ours.lm_head.weight, theirs.lm_head.weight)
    assert torch.equal(ours.model.language_model.embed_tokens.weight, theirs.model.language_model.embed_tokens.weight)


@pytest.mark.parametrize("change", ["missing", "shape"])
def test_what_does_not_fit_is_told_before_any_tensor_is_read(folder, change, monkeypatch):
    tensors = tensors_of(folder)
    name = next(n for n in tensors if n.endswith("layers.2.mlp.up_proj.weight"))
    tensors[name] = tensors[name][1:].clone()
    if change == "missing":
        del tensors[name]
    write(folder, tensors, 2)
    monkeypatch.setattr(Shards, "read", lambda *a: pytest.fail("a tensor was read"))
    counts = "1 tensors missing and 0" if change == "missing" else "0 tensors missing and 1"
    with pytest.raises(ModelLoadError, match=f"{INDEX}: {counts}.*layers.2.mlp.up_proj.weight"):
        PaliGemmaBackbone.from_pretrained(folder)


def test_numbers_of_a_kind_that_is_no_float_are_refused_by_name(folder):
    tensors = tensors_of(folder)
    name = next(n for n in tensors if n.endswith("layers.0.mlp.down_proj.weight"))
    tensors[name] = tensors[name].to(torch.int8)
    write(folder, tensors)
    with pytest.raises(ModelLoadError, match="model.safetensors: .*down_proj.weight is of I8"):
        PaliGemmaBackbone.from_pretrained(folder)


def test_a_tensor_larger_than_the_buffer_comes_in_parts_and_one_cut_short_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(shards_module, "CHUNK", 40)
    numbers = torch.arange(77.0).view(7, 11)
    save_file({"a": numbers, "b": numbers.half(), "nothing": torch.empty(0, 3)}, tmp_path / "model.safetensors")
    shards = Shards(tmp_path)
    into = torch.full((7, 11), -1.0, dtype=torch.bfloat16)
    shards.read("a", into)
    assert torch.equal(into, numbers.bfloat16())
    shards.read("nothing", torch.empty(0, 3))
    assert shards.same("a", "a") and not shards.same("a", "b")
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-120])
    with pytest.raises(ModelLoadError, match="model.safetensors cannot be read: it ends too early"):
        shards.read("a", into)
        shards.read("b", into)


def test_auto_is_float32_where_it_costs_little_and_bfloat16_where_memory_is_short(monkeypatch):
    from clue_ros.vlm import dense

    free = LITTLE * 8
    monkeypatch.setattr(dense, "available_memory", lambda device: free)
    monkeypatch.setattr(dense, "has_bfloat16_units", lambda: False)
    assert Precision.choose("cpu", None, LITTLE) == FLOAT32
    assert Precision.choose("cpu", None, free // 2) == FLOAT32
    assert Precision.choose("cpu", None, free) == Precision(torch.bfloat16, torch.float32)
    assert Precision.choose("cpu", torch.float32, free) == FLOAT32
    monkeypatch.setattr(dense, "has_bfloat16_units", lambda: True)
    assert Precision.choose("cpu", None, free // 2) == Precision(torch.bfloat16, torch.bfloat16)
    assert Precision.choose("cpu", None, LITTLE) == FLOAT32
    with pytest.raises(ModelLoadError, match="dtype is 'float8', must be one of auto, float32, bfloat16"):
        PaliGemmaBackbone.from_pretrained("anywhere", dtype="float8")


def test_without_soft_caps_it_is_transformers_without_them_and_the_output_cap_alone_changes_no_choice(folder):
    (folder / "clue.json").write_text(json.dumps({"soft_caps": False}))
    bare = PaliGemmaBackbone.from_pretrained(folder)
    caps = bare.model.config.get_text_config()
    assert caps.attn_logit_softcapping is None and caps.final_logit_softcapping is None
    ids = torch.tensor([[bare.tokenizer.bos_token_id, 20, 30, 40]])
    hidden = bare.plan.run(bare.plan.embed(ids), bare.plan.place(1, 4), None).hidden
    theirs = PaliGemmaForConditionalGeneration.from_pretrained(folder)
    for layer in theirs.model.language_model.layers:
        layer.self_attn.attn_logit_softcapping = None
    out = theirs.model.language_model(
        inputs_embeds=theirs.model.language_model.embed_tokens(ids), attention_mask={
            "full_attention": torch.zeros(1, 1, 4, 4), "sliding_attention": torch.zeros(1, 1, 4, 4)
        },
    )  # fmt: skip
    assert torch.allclose(hidden, out.last_hidden_state, atol=1e-4)
    raw = hidden @ theirs.lm_head.weight.T
    assert torch.allclose(bare.plan.logits(hidden), raw, atol=1e-3)
    (folder / "clue.json").unlink()
    capped = PaliGemmaBackbone.from_pretrained(folder)
    logits = capped.plan.logits(hidden)
    assert torch.equal(logits.argmax(-1), raw.argmax(-1)) and not torch.allclose(logits, raw, atol=0.01)
