"""Masks and relevance as a model gives them: serving reads what training reads, by Grounder and by command."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from clue_ros.cli.main import main
from clue_ros.grounder import Grounder
from clue_ros.masks.head import FILE, MaskHead, MaskQueries
from clue_ros.seams import Capability, MissingCapabilityError
from clue_ros.simulation.mask_queries import MaskQuery
from clue_ros.training.base import UnsupportedBaseError, open_base
from clue_ros.training.mask_stage import BaseReader, MaskSettings
from clue_ros.training.recipe import DataSettings, TrainConfig
from clue_ros.training.stages import Stages
from clue_ros.training.tabletop_model import build_model
from clue_ros.types import Box, InvalidExpressionError, ModelLoadError

SMALL = MaskSettings(steps=2, batch=3, width=16, blocks=1, validate_every=2, validation=4)


def test_a_head_is_trained_on_a_plain_download_and_served_there(
    gemma_like_tokenizer, tiny_size, scenes, tmp_path, capsys
):
    """PaliGemma as it is published: image tokens see the words, no clue.json, no adapters. Stages that train the
    decoder refuse it.
    """
    folder, output, photo = tmp_path / "download", tmp_path / "run", scenes / "train/images/000000.webp"
    build_model(gemma_like_tokenizer, tiny_size).save_pretrained(folder)
    gemma_like_tokenizer.save_pretrained(folder)
    config = TrainConfig(data=DataSettings(train_scenes=20, validation_scenes=10), mask=SMALL)
    Stages(config, output, scenes, base=folder).run("mask")
    capsys.readouterr()
    assert (
        main(
            [
                "mask",
                "relevance",
                str(photo),
                "the mug",
                "--model",
                str(output / "model"),
                "--out",
                str(output / "a.png"),
            ]
        )
        == 0
    )
    assert "of the picture matters" in capsys.readouterr().out
    grounder = Grounder.from_pretrained(output / "model")
    assert grounder.capabilities >= {Capability.MASKS, Capability.RELEVANCE}
    assert grounder.target_mask(Image.open(photo), "the mug", (), Box(10, 10, 90, 90)).dtype == bool
    with pytest.raises(UnsupportedBaseError, match="prefix_attention 'full'"):
        open_base(folder)


def with_attention(model, folder, pattern):
    if pattern == "image_blind":
        return model
    shutil.copytree(model, folder)
    clue = json.loads((folder / "clue.json").read_text())
    (folder / "clue.json").write_text(json.dumps({**clue, "prefix_attention": pattern, "tap_rows": "paper"}))
    return folder


@pytest.mark.parametrize("pattern", ["image_blind", "full"])
def test_serving_reads_what_training_reads(pattern, tiny_model_dir, data, mask_scenes, tmp_path):
    """States, map and the head's own result, from the packed pass under the merged adapter (or one pass a query) and
    from the serving plans.
    """
    tiny_model_dir = with_attention(tiny_model_dir, tmp_path / "full", pattern)
    reader = BaseReader(open_base(tiny_model_dir, any_attention=True))
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
