"""PaliGemma's masks: 16 codes of the model and the published decoder."""

import shutil

import numpy as np
import pytest
import torch

from clue_ros.grounder import Grounder
from clue_ros.masks import segment_codes
from clue_ros.masks.segment_codes import SegmentDecoder, convert
from clue_ros.seams import Capability, MissingCapabilityError
from clue_ros.types import Box, ModelLoadError
from clue_ros.vlm.decoding import SegmentSequence


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
