"""What a training run starts from: a model directory, with its weights in float32 and without its adapters.

    clue train joint --base clue_ros/models/tabletop --output runs/joint

Any directory that this package wrote, or that somebody downloaded, can be the base. The packed trainer needs image
tokens that do not see the text (`prefix_attention: image_blind`); PaliGemma's own bidirectional prefix is refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple

import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PaliGemmaForConditionalGeneration, PreTrainedTokenizerFast

from clue_ros.ambiguity.autoregressive import PRIVATE
from clue_ros.ambiguity.kinds import kind_of
from clue_ros.types import ClueError, ModelLoadError
from clue_ros.vlm.model_folder import check_config, check_folder
from clue_ros.vlm.patterns import IMAGE_BLIND
from clue_ros.vlm.settings import FILE, ClueSettings

NEW_WORDS = ("disambiguate", *PRIVATE)
_SPARE = re.compile(r"<unused\d+>")


class UnsupportedBaseError(ClueError):
    """The model directory is sound, but this trainer cannot start from it; the text says why."""


@dataclass
class Base:
    """tokenizer; model: PaliGemmaForConditionalGeneration, float32 on the CPU, in evaluation mode; settings: of the
    directory; folder: None for a run folder of the language stage, which has no settings of its own."""

    tokenizer: PreTrainedTokenizerFast
    model: Any
    settings: ClueSettings = ClueSettings()
    folder: Optional[Path] = None

    @property
    def side(self) -> int:
        return self.model.config.vision_config.image_size

    @property
    def patch(self) -> int:
        return self.model.config.vision_config.patch_size


def open_base(folder: Path) -> Base:
    """Load a model directory as the start of a run. Its adapters and detector are left where they are.

    Raises ModelLoadError if it is no model directory, UnsupportedBaseError if its attention is not image_blind.
    """
    folder = Path(folder)
    layers = check_config(folder / "config.json")["text_config"].get("num_hidden_layers")
    if not isinstance(layers, int):
        raise ModelLoadError(f"{folder / 'config.json'} says no text_config.num_hidden_layers")
    settings = ClueSettings.load(folder, layers)
    kind_of(settings, folder / FILE)
    if settings.pattern.image_sees_words or settings.pattern.words_see_ahead:
        raise UnsupportedBaseError(
            f"{folder}: training on a checkpoint with prefix_attention '{settings.prefix_attention}' is not supported "
            f"yet; the packed trainer needs '{IMAGE_BLIND.name}', as the embedded model has (clue_ros/models/tabletop)"
        )
    check_folder(folder)
    try:
        model = PaliGemmaForConditionalGeneration.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            attn_implementation={"text_config": "eager", "vision_config": "sdpa"},
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # transformers raises many kinds for a broken directory; all mean the same here
        raise ModelLoadError(f"{folder} cannot be loaded as PaliGemma: {error}") from error
    model.requires_grad_(False)
    return Base(name_spare_tokens(tokenizer)[0], model.eval(), settings, folder)


def copy_weights(model: PaliGemmaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, base: Base) -> None:
    """Give a model that is about to be trained the weights of a finished one. Raises UnsupportedBaseError if the two
    differ in words or size."""
    if tokenizer.get_vocab() != base.tokenizer.get_vocab():
        raise UnsupportedBaseError(
            f"{base.folder} has other words than this package's grammar: it cannot be trained on"
        )
    weights, own = base.model.state_dict(), model.state_dict()
    other = [k for k, v in own.items() if k not in weights or weights[k].shape != v.shape]
    if other:
        raise UnsupportedBaseError(
            f"{base.folder} is a model of another size than the recipe's ({len(other)} tensors "
            f"differ, for example {other[0]}): give the recipe its size"
        )
    model.load_state_dict({k: weights[k] for k in own})


def name_spare_tokens(
    tokenizer: PreTrainedTokenizerFast, words: Sequence[str] = NEW_WORDS
) -> Tuple[PreTrainedTokenizerFast, List[str]]:
    """(tokenizer, new names): spare rows `<unusedNN>` of a closed, word-level vocabulary get the words that it lacks.

    The rows were never trained, so a word named here is new to the model, as the paper's "disambiguate" is; ids and
    weights stay. The tokenizer itself is returned if nothing is missing or its vocabulary is open (a word then is made
    of pieces). Raises UnsupportedBaseError if too few spare rows are left.
    """
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    if content["model"].get("type") != "WordLevel":
        return tokenizer, []
    vocabulary = content["model"]["vocab"]
    missing = [w for w in words if w not in vocabulary]
    if not missing:
        return tokenizer, []
    spare = sorted((w for w in vocabulary if _SPARE.fullmatch(w)), key=lambda w: vocabulary[w])
    if len(spare) < len(missing):
        raise UnsupportedBaseError(
            f"the tokenizer lacks {', '.join(missing)} and has only {len(spare)} spare "
            "<unusedNN> tokens to give these names to"
        )
    for word, row in zip(missing, spare):
        vocabulary[word] = vocabulary.pop(row)
    content["model"]["vocab"] = dict(sorted(vocabulary.items(), key=lambda item: item[1]))
    renamed = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)),
        padding_side=tokenizer.padding_side,
        **{k: v for k, v in tokenizer.special_tokens_map.items() if isinstance(v, str)},
    )
    return renamed, missing
