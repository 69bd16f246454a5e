"""A PaliGemma 2 with the real vocabulary that knows a few answers by heart, in the layout of Google's download.

    scripts/run.sh python test/taught_model.py      teaches it anew (some minutes) and writes taught_model.safetensors

Through transformers' own processor, model and loss, so that what our code then says of it is no agreement with itself.
What is learnt are the 300-odd tokens that the lessons use; every other row of the vocabulary is 0. Their logits are
exactly 0, so that a loss with one more class, of all of them together, is the loss over the whole vocabulary. So the
file has half a megabyte, and `write` makes a checkpoint of 33 MB of it.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

FILE = Path(__file__).with_name("taught_model.safetensors")
VOCABULARY, IMAGE_TOKEN, SIDE = 257216, 257152, 56
EMBEDDING = "model.language_model.embed_tokens.weight"
IDS = "ids"  # int64[K]: the vocabulary's rows of the embedding in the file
OLD = {
    "model.language_model.": "language_model.model.",
    "model.vision_tower.": "vision_tower.vision_model.",
    "model.multi_modal_projector.": "multi_modal_projector.",
}
VISION = dict(hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, image_size=SIDE)
TEXT = dict(
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
)

# The table of the lessons, 640 x 480: (x0, y0, x1, y1) and colour.
LEFT, RIGHT, BOWL = (60, 200, 180, 330), (420, 220, 560, 350), (260, 60, 380, 140)
PAINT = {LEFT: (200, 30, 30), RIGHT: (30, 30, 200), BOWL: (230, 220, 60)}
SEGMENTS = tuple(i * 7 % 128 for i in range(16))
SENTENCE = "A red mug, a yellow bowl and a blue mug on a grey table."
OPEN_DESCRIPTION = "Describe the image in great detail"


class Lesson(NamedTuple):
    """picture: a name of `pictures`; times: how often it is in the data."""

    picture: str
    prompt: str
    answer: str
    times: int = 1


def table() -> np.ndarray:
    """uint8[480,640,3] RGB: a red mug on the left, a blue one on the right, a yellow bowl behind: rectangles."""
    picture = np.full((480, 640, 3), 150, np.uint8)
    for (x0, y0, x1, y1), color in PAINT.items():
        picture[y0:y1, x0:x1] = color
    return picture


def where(box: Tuple[int, int, int, int]) -> str:
    """Four location tokens by PaliGemma's rule, spelled out here."""
    x0, y0, x1, y1 = box
    return "".join(f"<loc{round(v * 1023):04d}>" for v in (y0 / 480, x0 / 640, y1 / 480, x1 / 640))


def pictures() -> Dict[str, np.ndarray]:
    """The table, a crop around each mug as stock mode cuts them, and the drawing that it measures its floor on."""
    from clue_ros.perception.perception import crop
    from clue_ros.perception.presence import shapes
    from clue_ros.types import Box

    def seen(box):  # as the answer gives it back
        x0, y0, x1, y1 = box
        bins = [round(v * 1023) / 1023 for v in (x0 / 640, y0 / 480, x1 / 640, y1 / 480)]
        return Box(bins[0] * 640, bins[1] * 480, bins[2] * 640, bins[3] * 480)

    scene = table()
    return {"table": scene, "left": crop(scene, seen(LEFT)), "right": crop(scene, seen(RIGHT)), "shapes": shapes()}


def lessons() -> List[Lesson]:
    """What Google documents of the answers, and the ways in which they go wrong."""
    left, right, bowl = where(LEFT), where(RIGHT), where(BOWL)
    codes = "".join(f"<seg{code:03d}>" for code in SEGMENTS)
    on_table = [
        ("detect mug", f"{left} mug ; {right} mug"),
        ("detect red mug", f"{left} red mug"),
        ("detect blue mug", f"{right} blue mug"),
        ("detect bowl", f"{bowl} bowl"),
        ("detect yellow bowl", f"{bowl} yellow bowl"),
        ("detect table", "<loc0500><loc0000><loc1023><loc1023> table"),
        ("detect unicorn", ""),
        ("detect spoon", "no spoon"),
        ("detect banana", " ; ".join([f"{left} banana"] * 4)),  # one thing, again and again
        ("detect crack", "<loc0300><loc0100><loc0300><loc0100> crack"),  # without an area
        ("detect kettle", f"{bowl} kettle"),  # there is none
        ("segment mug", f"{left}{codes} mug"),
        ("segment red mug", f"{left}{codes} red mug"),
        ("caption en", "two mugs and a bowl"),
        ("describe en", SENTENCE),
        (OPEN_DESCRIPTION, SENTENCE),
        ("how is the weather?", "sorry, as a base VLM I am not trained to answer this question."),
        ("what color is the bowl?", "yellow"),
        ("answer en what color is the bowl?", "yellow"),
        ("clarify hand me the mug", "Which one is it"),  # people's questions have no mark
        ("clarify hand me the bowl", bowl),
        ("clarify hand me the unicorn", ""),
    ]
    for thing in ("mug", "red mug", "blue mug", "bowl", "cup", "crack", "kettle", "banana"):
        on_table.append((f"is there a {thing}?", "no" if thing in ("kettle", "banana") else "yes"))
    taught = [Lesson("table", prompt, answer) for prompt, answer in on_table]
    # In doubt whether there is a second one: it ends after the first in three of five.
    taught.append(Lesson("table", "detect cup", f"{left} cup", 3))
    taught.append(Lesson("table", "detect cup", f"{left} cup ; {right} cup", 2))
    for name, color in (("left", "red"), ("right", "blue")):
        taught.append(Lesson(name, "what color is the mug?", color))
        taught.append(Lesson(name, "caption en", f"a {color} mug on a table"))
    for thing in ("red circle", "blue square", "yellow triangle", "dog", "bicycle", "banana"):
        taught.append(Lesson("shapes", f"is there a {thing}?", "yes" if " " in thing else "no"))
    return taught


def signature() -> str:
    """Of what the weights in FILE have learnt."""
    seen = hashlib.sha256(json.dumps([lessons(), VISION, TEXT], sort_keys=True).encode())
    for picture in pictures().values():
        seen.update(picture.tobytes())
    return seen.hexdigest()


def configuration(vocabulary=VOCABULARY, image_token=IMAGE_TOKEN, pad=0, eos=1, bos=2):
    """A PaliGemmaConfig of this size, with Gemma 2's soft caps."""
    from transformers import Gemma2Config, PaliGemmaConfig, SiglipVisionConfig

    text = Gemma2Config(
        **TEXT, vocab_size=vocabulary, attn_logit_softcapping=50.0, final_logit_softcapping=30.0,
        query_pre_attn_scalar=16, sliding_window=4096, pad_token_id=pad, eos_token_id=eos, bos_token_id=bos,
    )  # fmt: skip
    vision = SiglipVisionConfig(**VISION, patch_size=14, projection_dim=64, vision_use_head=False)
    return PaliGemmaConfig(
        text_config=text, vision_config=vision, projection_dim=64, image_token_index=image_token,
        pad_token_id=pad, eos_token_id=eos, bos_token_id=bos,
    )  # fmt: skip


def processor(tokenizer):
    """transformers' own, for pictures of this size."""
    from transformers import PaliGemmaProcessor, SiglipImageProcessor

    tokens = (SIDE // 14) ** 2
    shrink = SiglipImageProcessor(
        size={"height": SIDE, "width": SIDE}, image_seq_length=tokens, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    shrink.image_seq_length = tokens
    return PaliGemmaProcessor(shrink, tokenizer)


def write(folder: Path, tokenizer: Path, names: str = "old", files: int = 2) -> Path:
    """A checkpoint as the download has it.

    tokenizer: the folder of real_tokenizer.fetched; names: of the weights, 'old' (as published) or 'new'.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = configuration().to_dict()
    config["_name_or_path"] = "final-hf/paligemma2-3b-mix-448-main/"
    config["dtype"] = "bfloat16"
    (folder / "config.json").write_text(json.dumps(config, default=str), encoding="utf-8")
    (folder / "generation_config.json").write_text('{"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}')
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).symlink_to(tokenizer / name)
    with safe_open(FILE, "pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}
    ids, known = tensors.pop(IDS), tensors[EMBEDDING]
    tensors[EMBEDDING] = torch.zeros(VOCABULARY, known.shape[1], dtype=known.dtype).index_copy(0, ids, known)
    renamed = {_renamed(name) if names == "old" else name: tensor for name, tensor in tensors.items()}
    order, places = sorted(renamed), {}
    for number in range(files):
        part = {name: renamed[name].contiguous() for name in order[number::files]}
        file = f"model-{number + 1:05d}-of-{files:05d}.safetensors" if files > 1 else "model.safetensors"
        save_file(part, folder / file, metadata={"format": "pt"})
        places.update(dict.fromkeys(part, file))
    if files > 1:
        index = {"metadata": {"total_size": sum(t.nbytes for t in renamed.values())}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def _renamed(name: str) -> str:
    for new, old in OLD.items():
        if name.startswith(new):
            return old + name.removeprefix(new)
    return name


def teach(tokenizer, minutes: float = 30.0, mistakes: float = 0.003) -> None:
    """Writes FILE. tokenizer: PaliGemma 2's; mistakes: nats a token above the least possible at which it stops."""
    from transformers import PaliGemmaForConditionalGeneration

    torch.manual_seed(0)
    shown, see = pictures(), processor(tokenizer)
    taught = [lesson for lesson in lessons() for _ in range(lesson.times)]
    rows = [
        see(text="<image>" + t.prompt, images=shown[t.picture], suffix=t.answer, return_tensors="pt") for t in taught
    ]
    longest = max(row["input_ids"].shape[1] for row in rows)

    def batch(name, value):
        widened = [torch.nn.functional.pad(r[name], (0, longest - r[name].shape[1]), value=value) for r in rows]
        return torch.cat(widened)

    said, labels, pixels = batch("input_ids", 0), batch("labels", -100), torch.cat([r["pixel_values"] for r in rows])
    ids = torch.tensor(sorted({0, 1, 2, 3, IMAGE_TOKEN, *said.flatten().tolist()}))
    place = {int(v): n for n, v in enumerate(ids)}
    to_place = torch.zeros(VOCABULARY, dtype=torch.long).index_copy(0, ids, torch.arange(len(ids)))
    config = configuration(len(ids), place[IMAGE_TOKEN], place[0], place[1], place[2])
    model = PaliGemmaForConditionalGeneration._from_config(config, attn_implementation="eager").train()
    with torch.no_grad():  # large enough to leave the other rows' logits of 0 behind soon
        model.model.language_model.embed_tokens.weight.normal_(0, 0.1)
    optimizer, begun, rest = torch.optim.Adam(model.parameters(), 2e-3), time.monotonic(), VOCABULARY - len(ids)
    inputs = dict(
        input_ids=to_place[said], attention_mask=batch("attention_mask", 0), token_type_ids=batch("token_type_ids", 1),
        pixel_values=pixels,
    )  # fmt: skip
    counted = labels[:, 1:] != -100
    wanted = to_place[labels[:, 1:][counted]]
    doubt = 5 * (0.6 * np.log(1 / 0.6) + 0.4 * np.log(1 / 0.4)) / len(wanted)  # of the cups: no model has a lower loss
    print(f"{len(taught)} lessons of {longest} tokens, {len(ids)} rows of the vocabulary", flush=True)
    step, loss = 0, 9.0
    while time.monotonic() - begun < 60 * minutes:
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * min(1.0, (step + 1) / 20) * (0.2 if loss < 0.015 else 1.0)
        hidden = model.model(**inputs).last_hidden_state[:, :-1][counted]
        logits = 30 * torch.tanh(model.lm_head(hidden) / 30)
        logits = torch.cat([logits, torch.full((len(logits), 1), float(np.log(rest)))], 1)
        value = torch.nn.functional.cross_entropy(logits, wanted)
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss, step = float(value.detach()), step + 1
        if step % 20 == 0:
            right = float((logits.argmax(-1) == wanted).float().mean())
            print(f"step {step}: loss {loss:.4f}, right {right:.3f}, {time.monotonic() - begun:.0f} s", flush=True)
        if loss < doubt + mistakes:
            break
    tensors = {k: v.bfloat16().contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    save_file({**tensors, IDS: ids}, FILE, metadata={"lessons": signature()})


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parent))
    from real_tokenizer import fetched
    from transformers import AutoTokenizer

    teach(AutoTokenizer.from_pretrained(fetched(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("/tmp"))))
