"""The mask head: trained, exported, resumed; what it reads in training is what serving gives it; masks and
relevance.
"""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from clue_ros.cli.main import main
from clue_ros.grounder import Grounder
from clue_ros.lab.dwsl import SPOILS, Comparison, DwslSettings, spoilt_label, weight_of
from clue_ros.masks import segment_codes
from clue_ros.masks.focus import active_pixels, focused, smallest_box
from clue_ros.masks.head import FILE, MaskHead, MaskQueries, box_cover
from clue_ros.masks.loss import dense_ious, dense_losses
from clue_ros.masks.segment_codes import SegmentDecoder, convert
from clue_ros.seams import Capability, MissingCapabilityError
from clue_ros.simulation.mask_queries import MaskQuery, mask_queries, relevant_to
from clue_ros.simulation.referring import enumerate_references
from clue_ros.simulation.scene_data import load
from clue_ros.training.base import open_base
from clue_ros.training.features import features_of
from clue_ros.training.mask_stage import BaseReader, MaskScenes, MaskSettings, MaskTrainer, soft_label
from clue_ros.training.recipe import DataSettings, TrainConfig
from clue_ros.training.slot import Slot, SlotOver
from clue_ros.training.stages import Stages
from clue_ros.types import Box, InvalidExpressionError, ModelLoadError
from clue_ros.vlm.decoding import SegmentSequence

SMALL = MaskSettings(steps=3, batch=3, width=16, blocks=1, validate_every=2, validation=4)


@pytest.fixture(scope="module")
def base(tiny_model_dir):
    return open_base(tiny_model_dir)


@pytest.fixture(scope="module")
def data(scenes, tiny_size):
    return load(scenes / "train", tiny_size.image_size, tiny_size.patch_size, progress=False)


@pytest.fixture(scope="module")
def mask_scenes(scenes, data, base):
    return MaskScenes(scenes / "train", data, features_of(base.model.model.vision_tower, data))


@pytest.fixture(scope="module")
def with_head(scenes, tiny_model_dir, tmp_path_factory):
    """A model directory as `clue train mask` writes it."""
    config = TrainConfig(data=DataSettings(train_scenes=20, validation_scenes=20), mask=SMALL)
    output = tmp_path_factory.mktemp("run")
    Stages(config, output, scenes, base=tiny_model_dir).run("mask")
    return output / "model"


def test_dense_losses_and_ious():
    label = torch.zeros(2, 8, 8)
    label[0, 2:6, 2:6] = 1
    right = torch.where(label > 0, 20.0, -20.0)
    assert dense_losses(right, label).max() < 1e-3 and (dense_ious(right, label) == 1).all()
    assert dense_losses(-right, label).min() > 15
    half = right.clone()
    half[0, 2:4] = -20
    assert dense_ious(half, label).tolist() == [0.5, 1.0]


def test_a_box_covers_cells_by_their_share():
    cover = box_cover(torch.tensor([[0.25, 0.5, 0.875, 1.0], [float("nan")] * 4]), (2, 4))
    assert cover[0].tolist() == [[0, 0, 0, 0], [0, 1, 1, 0.5]] and cover[1].sum() == 0


def test_labels_are_shares_of_cells_and_mirrored_with_their_scene(scenes, data, mask_scenes):
    whole = mask_scenes.instances(0, 128)
    flipped = MaskScenes(scenes / "train", data, mask_scenes.features, np.ones(20, bool)).instances(0, 128)
    assert (flipped == whole[:, ::-1]).all() and whole.max() == len(data.objects[0])
    label = soft_label(whole, (0, 1))
    assert label.shape == (64, 64) and label.sum() * 4 == pytest.approx(np.isin(whole, (1, 2)).sum())


def test_what_matters_to_an_instruction(data):
    """Both things of two phrases, the anchor of a relation, nothing for what is not there; a box makes its object the
    target."""
    seen = {}
    for n in range(40):
        objects, size = data.objects[n % 20], data.sizes[n % 20]
        for reference, matches in enumerate_references(objects, size):
            if reference.relation:
                leans = relevant_to(reference, matches, objects, size)
                assert set(matches) < set(leans) and len(leans) == len(matches) + 1
        for query in mask_queries(objects, size, np.random.default_rng(n), 6, known={"clarify", "mug", "red"}):
            seen.setdefault(query.kind, []).append(query)
            assert set(query.prefix.split()) <= {"clarify", "mug", "red"} or "<" in query.prefix
            if query.box is not None:
                assert len(query.target) == 1 and query.target[0] in query.matches
                box = objects[query.target[0]].box
                assert query.box[0] == pytest.approx(box.x0 / size.width, abs=0.2)
            elif len(query.matches) > 1:
                assert query.target is None
    assert all(q.relevant == () and q.target == () and q.box is None for q in seen["absent"])
    assert all(len(set(q.relevant)) >= 2 for q in seen["two things"])


def test_serving_reads_what_training_reads(tiny_model_dir, data, mask_scenes):
    """States, map and the head's own result, from the packed pass under the merged adapter and from the serving
    plans.
    """
    reader = BaseReader(open_base(tiny_model_dir))
    queries = [MaskQuery("clarify hand me the mug", (), (), ""), MaskQuery("clarify the red bowl please", (), (), "")]
    vision = mask_scenes.features.take(np.array([0]))[0]
    read, used, where = reader.read(vision, [queries], 64)
    assert used == queries and where == [0, 0]
    grounder = Grounder.from_pretrained(tiny_model_dir)
    encoded = grounder.backbone.encode(np.asarray(data.images[0]))
    assert torch.allclose(encoded.tower, vision, atol=2e-2)  # features are kept in float16
    head = MaskHead(vision.shape[-1], read.states.shape[-1], 16, 1).eval()
    pixels = torch.from_numpy(data.images[0].transpose(2, 0, 1).copy())[None].float() / 127.5 - 1
    head.requires_grad_(False)
    packed = head(vision, pixels, read)
    for n, query in enumerate(queries):
        states, grid = grounder.backbone.word_states(encoded, query.prefix)
        count = states.shape[1]
        assert read.there[n].tolist() == [True] * count + [False] * (read.there.shape[1] - count)
        assert torch.allclose(read.states[n, :count], states[0], atol=3e-2)
        assert (read.maps[n] - grid).abs().mean() < 0.02
        alone = MaskQueries(
            states,
            torch.ones(1, count, dtype=torch.bool),
            grid[None],
            read.boxes[n : n + 1],
            torch.zeros(1, dtype=torch.int64),
        )
        assert torch.allclose(head(encoded.tower, pixels, alone)[0], packed[n], atol=5e-2)


def test_training_resumes_to_the_same_head(scenes, tiny_model_dir, mask_scenes, tmp_path):
    def trainer(folder):
        return MaskTrainer(open_base(tiny_model_dir), mask_scenes, folder, SMALL)

    trainer(tmp_path / "whole").train()
    with pytest.raises(SlotOver):
        trainer(tmp_path / "parts").train(Slot(until=1))
    assert trainer(tmp_path / "parts").train().step == 3
    whole, parts = (load_file(str(tmp_path / name / "weights.safetensors")) for name in ("whole", "parts"))
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


def test_the_head_learns_the_pixels_in_a_box(base, mask_scenes, tmp_path):
    settings = replace(SMALL, steps=25, batch=4, lr=1e-2, warmup=4, validate_every=0)
    few = MaskTrainer(base, mask_scenes, tmp_path, settings)
    batch = few.batch(mask_scenes, np.arange(4), np.random.default_rng(0))
    before, _ = few.judge(batch)
    for _ in range(settings.steps):
        loss, readings = few.judge(batch)
        loss.backward()
        few.run.optimizer.step(1.0)
    assert loss.item() < 0.8 * before.item() and readings["target_iou"] > 0.25


def test_the_model_directory_gives_masks_and_relevance(with_head, tiny_model_dir):
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    grounder = Grounder.from_pretrained(with_head)
    assert grounder.capabilities >= {Capability.MASKS, Capability.RELEVANCE}
    assert (with_head / FILE).stat().st_size < 300_000
    heat = grounder.relevance(picture, "put the red mug on the plate")
    assert heat.shape == (48, 64) and heat.dtype == np.float32 and 0 <= heat.min() <= heat.max() <= 1
    with pytest.raises(InvalidExpressionError, match="none of the words"):
        grounder.relevance(picture, "xylophone")
    plain = grounder.ground(picture, "the red mug", may_ask=False)
    masked = grounder.ground(picture, "the red mug", may_ask=False, mask=True)
    assert plain.mask is None and plain.box == masked.box and "mask" not in plain.latency_s
    if masked.box is not None:
        assert masked.mask.shape == (48, 64) and masked.mask.dtype == bool and "mask" in masked.latency_s
    pixels = grounder._masker.target(
        grounder.encode(picture), "clarify the red mug", "the red mug", Box(10, 10, 30, 40)
    )
    assert pixels.shape == (48, 64) and not pixels[:, 36:].any() and not pixels[:4].any()

    without = Grounder.from_pretrained(tiny_model_dir)
    assert not without.capabilities & {Capability.MASKS, Capability.RELEVANCE}
    assert without.ground(picture, "the red mug", may_ask=False, mask=True).mask is None
    with pytest.raises(MissingCapabilityError, match="clue train mask"):
        without.relevance(picture, "the red mug")


def test_a_head_that_does_not_fit_is_refused_by_name(with_head, tmp_path):
    with pytest.raises(ModelLoadError, match="mask.safetensors.*does not fit"):
        MaskHead.load(with_head, 48, 32)
    save_file({"a": torch.zeros(1)}, str(tmp_path / FILE))
    with pytest.raises(ModelLoadError, match="not of the format"):
        MaskHead.load(tmp_path, 32, 32)
    (tmp_path / FILE).write_bytes(b"no safetensors")
    with pytest.raises(ModelLoadError, match="corrupt"):
        MaskHead.load(tmp_path, 32, 32)


def test_published_weights_become_a_decoder_without_pickle(tmp_path):
    torch.manual_seed(0)
    made = SegmentDecoder(code_width=24, channels=16)
    made.codebook.normal_()
    published = {k: v.numpy() for k, v in made.named().items()}
    np.savez(tmp_path / "vae.npz", **published, **{"encoder.0.weight": np.zeros((2, 2), np.float32)})
    file = convert(tmp_path / "vae.npz", tmp_path)
    assert file.name == segment_codes.FILE
    read = SegmentDecoder.load(tmp_path)
    codes = torch.arange(16)[None]
    mask = read(codes)
    assert mask.shape == (1, 64, 64) and torch.equal(mask, made(codes))
    assert not torch.allclose(mask, read(codes.flip(1)))  # the codes' places count
    pasted = read.paste(range(16), (10.2, 5, 31, 25.5), (40, 30))
    assert pasted.shape == (30, 40) and not pasted[:5].any() and not pasted[:, 31:].any()
    inner = torch.nn.functional.interpolate(mask[None], (21, 21), mode="bilinear")[0, 0] > 0
    assert (pasted[5:26, 10:31] == inner.numpy()).all()

    np.savez(tmp_path / "pickled.npz", **{segment_codes.CODEBOOK: np.array([{}], object)})
    with pytest.raises(ModelLoadError, match="pickled.npz"):
        convert(tmp_path / "pickled.npz", tmp_path)
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(ModelLoadError, match="not the weights"):
        convert(tmp_path / "other.npz", tmp_path)


def test_segment_tokens_follow_the_found_box(gemma_like_tokenizer):
    """The box's tokens are given, then 16 codes among the <seg> tokens, whatever else the model would like to say."""
    first = gemma_like_tokenizer.convert_tokens_to_ids("<seg000>")
    location = gemma_like_tokenizer.convert_tokens_to_ids("<loc0000>")
    sequence = SegmentSequence(tuple(location + b for b in (1, 2, 3, 4)), first, 128, 16)
    rng = torch.Generator().manual_seed(0)
    while not sequence.finished:
        logits = torch.randn(len(gemma_like_tokenizer), generator=rng)
        wanted = sequence.wanted
        token = sequence.feed(logits if wanted is None else logits[wanted[0] : wanted[0] + wanted[1]])
        if wanted is not None:
            assert token == first + int(logits[first : first + 128].argmax())
    assert sequence.tokens[:4] == [location + b for b in (1, 2, 3, 4)]
    assert len(sequence.codes) == 16 and all(0 <= c < 128 for c in sequence.codes)


def test_a_model_with_paligemmas_mask_decoder_uses_it_for_the_target(tiny_model_dir, tmp_path):
    """A directory with random weights in the published format: 16 codes from the model, a mask inside the box."""
    shutil.copytree(tiny_model_dir, tmp_path / "model")
    torch.manual_seed(1)
    decoder = SegmentDecoder(code_width=24, channels=16)
    decoder.codebook.normal_()
    decoder.save(tmp_path / "model")
    grounder = Grounder.from_pretrained(tmp_path / "model")
    image = grounder.encode(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))
    box = Box(8, 8, 40, 40)
    codes = grounder.backbone.segment_codes(image, "segment the mug", (171, 128, 853, 640))
    assert len(codes) == 16 and all(0 <= c < 128 for c in codes)
    mask = grounder._masker.target(image, "clarify the mug", "the mug", box)
    assert Capability.MASKS in grounder.capabilities and (mask == decoder.eval().paste(codes, box, (64, 48))).all()
    with pytest.raises(MissingCapabilityError):
        grounder.relevance(image, "the mug")


def test_focus_keeps_what_is_active_and_nothing_else():
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    heat = np.zeros((40, 60), np.float32)
    heat[10:20, 30:50] = 0.9
    active = active_pixels(heat, growth=0)
    assert smallest_box(active) == Box(30, 10, 50, 20) and smallest_box(active, 0.5) == Box(20, 5, 60, 25)
    grown = active_pixels(heat, growth=2 / 60)
    assert smallest_box(grown) == Box(28, 8, 52, 22) and (grown | active == grown).all()
    assert smallest_box(np.zeros((4, 4), bool)) is None
    for mode in ("overlay", "blur", "greyscale"):
        shown = focused(image, active, mode)
        assert shown.shape == image.shape and shown.dtype == np.uint8
        assert (shown[active] == image[active]).all() and (shown[~active] != image[~active]).any(-1).mean() > 0.9
    assert (focused(image, active, "overlay")[~active] == 127).all()
    grey = focused(image, active, "greyscale")[~active]
    assert (grey[:, 0] == grey[:, 1]).all() and (grey[:, 0] == grey[:, 2]).all()
    one = focused(image[..., 0], active, "blur")
    assert one.shape == (40, 60) and one[~active].std() < image[..., 0][~active].std() / 2
    assert focused(image, active, "crop") is image
    with pytest.raises(ValueError, match="overlay, blur"):
        focused(image, active, "sepia")


def test_masks_by_command(with_head, tiny_model_dir, scenes, tmp_path, capsys):
    photo, model = scenes / "train/images/000000.webp", str(with_head)
    run = lambda *args: main([str(a) for a in args])  # noqa: E731
    size = Image.open(photo).size
    assert (
        run(
            "mask",
            "relevance",
            photo,
            "the red mug and the plate",
            "--model",
            model,
            "--mode",
            "heat",
            "--out",
            tmp_path / "heat.png",
        )
        == 0
    )
    heat = np.asarray(Image.open(tmp_path / "heat.png"))
    assert heat.shape == size[::-1] and "of the picture matters" in capsys.readouterr().out
    assert run("mask", "relevance", photo, "the mug", "--model", tiny_model_dir) == 2
    assert "clue train mask" in capsys.readouterr().err
    found = None
    for words in ("the mug", "the red ball", "the box", "the plate", "the bottle"):
        assert (
            run(
                "ground",
                photo,
                words,
                "--no-ask",
                "--model",
                model,
                "--json",
                "--no-picture",
                "--mask",
                tmp_path / "mask.png",
            )
            == 0
        )
        found = json.loads(capsys.readouterr().out)["box"]
        assert (tmp_path / "mask.png").exists() == (found is not None)
        if found:
            mask = np.asarray(Image.open(tmp_path / "mask.png"))
            assert mask.shape == size[::-1] and set(np.unique(mask)) <= {0, 255}
            break
    assert run("ground", photo, "the mug", "--model", tiny_model_dir, "--mask", tmp_path / "no.png") == 2

    folder = tmp_path / "figures"
    assert run("evaluate", "masks", scenes / "validation", "--model", model, "--limit", 3, "-o", folder) == 0
    results = json.loads((folder / "results.json").read_text())
    figures = {m["name"]: m["estimate"] for m in results["measures"]}
    assert set(figures) >= {"miou", "ciou", "kept", "removed"} and results["complete"]
    assert all(0 <= figures[name]["value"] <= 1 for name in figures)
    assert run("evaluate", "masks", scenes / "validation", "--model", tiny_model_dir, "-o", folder) == 2
    assert run("mask", "decoder", photo, "--output", tmp_path) == 2


@pytest.mark.parametrize("option", [("--format", "refcoco"), ("--split", "test"), ("--images", "x")])
def test_evaluate_masks_offers_only_what_it_takes(option, capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "masks", "refcoco", *option])
    assert f"unrecognized arguments: {option[0]}" in capsys.readouterr().err


def test_labels_are_spoilt_in_every_way():
    instances = np.zeros((256, 256), np.uint8)
    instances[60:100, 60:100], instances[150:190, 150:190] = 1, 2
    rng, true = np.random.default_rng(0), soft_label(instances, (0,))
    spoilt = {kind: spoilt_label(kind, instances, (0,), rng) for kind in SPOILS}
    assert spoilt["missing"].sum() == 0 and (spoilt["wrong"] == soft_label(instances, (1,))).all()
    assert (spoilt["grown"] >= true).all() and spoilt["grown"].sum() > 1.5 * true.sum()
    assert spoilt["shifted"].sum() == pytest.approx(true.sum()) and (spoilt["shifted"] * true).sum() < 0.6 * true.sum()
    assert (spoilt_label("missing", instances, (0, 1), rng) == soft_label(instances, (1,))).all()
    assert weight_of(torch.tensor([0.0, 0.05, 0.4, 1.0])).tolist() == pytest.approx([0.1, 0.1, 0.4, 1.0])


def test_the_judge_tells_clean_from_spoilt_labels_and_the_comparison_is_written(
    scenes, tiny_model_dir, mask_scenes, tmp_path
):
    settings = DwslSettings(clean=6, mixed=12, steps=2, judge_steps=2, batch=3, queries=3, held=4)
    compared = Comparison(open_base(tiny_model_dir), mask_scenes, mask_scenes, tmp_path, settings)
    batch, kinds = compared.batch(np.arange(8, 14), True)
    again, _ = compared.batch(np.arange(8, 14), True)
    clean, none = compared.batch(np.arange(8, 14), False)
    assert torch.equal(batch.labels, again.labels) and set(none) == {"clean"} and set(kinds) - {"clean"} <= set(SPOILS)
    same = [(batch.labels[n, 1] == clean.labels[n, 1]).all().item() for n in range(len(kinds))]
    assert all(same[n] for n, kind in enumerate(kinds) if kind == "clean") and sum(same) < len(same)
    result = compared.run()
    assert set(result["relevance_iou"]) == {"dwsl", "plain", "clean_few"} and "clean" in result["weights"]
    assert json.loads((tmp_path / "dwsl.json").read_text()) == result
    assert Comparison(open_base(tiny_model_dir), mask_scenes, mask_scenes, tmp_path, settings).run() == result


def test_the_comparison_by_its_command(scenes, tiny_model_dir, tmp_path, monkeypatch, capsys):
    from clue_ros.lab import studies

    small = DwslSettings(clean=6, mixed=12, steps=2, judge_steps=2, batch=3, queries=3, held=4)
    monkeypatch.setattr(studies, "DwslSettings", lambda: small)  # the command's own sizes need 888 scenes
    assert (
        main(
            [
                "train",
                "dwsl",
                "--base",
                str(tiny_model_dir),
                "--data",
                str(scenes),
                "--output",
                str(tmp_path),
                "--steps",
                "1",
                "--set",
                "data.train_scenes=20",
                "--set",
                "data.validation_scenes=20",
                "--set",
                "data.varied=false",
            ]
        )
        == 0
    )
    result = json.loads((tmp_path / "dwsl" / "dwsl.json").read_text())
    assert set(result["relevance_iou"]) == {"dwsl", "plain", "clean_few"}
    assert "comparison: " in capsys.readouterr().out
