"""What a training run starts from: a model directory, with its weights in float32 and without its adapters.

    clue train joint --base clue_ros/models/tabletop --output runs/joint

Any directory that this package wrote, or that somebody downloaded, can be the base. The packed trainer needs image
tokens that do not see the text (`prefix_attention: image_blind`); PaliGemma's own bidirectional prefix is refused,
except by the mask head, which leaves the decoder as it is (full_reader.py).
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, List, Optional, Sequence, Tuple

import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PaliGemmaForConditionalGeneration, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from clue_ros.ambiguity.autoregressive import PRIVATE
from clue_ros.ambiguity.kinds import kind_of
from clue_ros.eyes.sight import Sight, has_sight
from clue_ros.eyes.tower import SightTower
from clue_ros.location import BINS, token
from clue_ros.types import ClueError, ModelLoadError
from clue_ros.vlm.model_folder import check_config, check_folder
from clue_ros.vlm.patterns import IMAGE_BLIND
from clue_ros.vlm.settings import FILE, ClueSettings

PATCH_FOR_EYES = 30  # pixels of a square for each token a side: eyes with second glances want more than a tower does
NEW_WORDS = ("disambiguate", *PRIVATE)
_TOWER, _BY_WORD = "vision_tower.", ("embed_tokens.weight", "lm_head.weight")
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
        """Pixels of the squares that scenes are kept in."""
        tower = self.model.model.vision_tower
        if isinstance(tower, SightTower):
            return PATCH_FOR_EYES * tower.sight.shape.grid
        return self.model.config.vision_config.image_size

    @property
    def patch(self) -> int:
        eyes = isinstance(self.model.model.vision_tower, SightTower)
        return PATCH_FOR_EYES if eyes else self.model.config.vision_config.patch_size


def open_base(folder: Path, device: str = "cpu", any_attention: bool = False) -> Base:
    """Load a model directory as the start of a run. Its adapters and detector are left where they are. device: where
    its eyes will look, if it has some. any_attention: PaliGemma's own prefix too, for what does not train the decoder.

    Raises ModelLoadError if it is no model directory, UnsupportedBaseError if its attention is not image_blind.
    """
    folder = Path(folder)
    layers = check_config(folder / "config.json")["text_config"].get("num_hidden_layers")
    if not isinstance(layers, int):
        raise ModelLoadError(f"{folder / 'config.json'} says no text_config.num_hidden_layers")
    settings = ClueSettings.load(folder, layers)
    kind_of(settings, folder / FILE)
    if not any_attention and (settings.pattern.image_sees_words or settings.pattern.words_see_ahead):
        raise UnsupportedBaseError(
            f"{folder}: training on a checkpoint with prefix_attention '{settings.prefix_attention}' is not supported "
            f"yet; the packed trainer needs '{IMAGE_BLIND.name}', as the embedded model has (clue_ros/models/tabletop)"
        )
    check_folder(folder)
    try:
        with _without_report(has_sight(folder)):
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
    if has_sight(folder):
        model.model.vision_tower = SightTower(Sight.open(folder, device))
    model.requires_grad_(False)
    return Base(name_spare_tokens(tokenizer)[0], model.eval(), settings, folder)


@contextmanager
def _without_report(quiet: bool) -> Iterator[None]:
    """transformers without its report of missing weights, where the tower's are missing on purpose."""
    before = transformers_logging.get_verbosity()
    if quiet:
        transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)


def copy_weights(model: PaliGemmaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, base: Base) -> None:
    """Give a model that is about to be trained the weights of a finished one, word by word: words that the finished one
    lacks keep their untrained rows, words that are no more are left out. A model with eyes keeps its own.

    Raises UnsupportedBaseError if the base has another size, or a tokenizer of another kind."""
    own, words = model.state_dict(), base.tokenizer.get_vocab()
    rows = {row: words[word] for word, row in tokenizer.get_vocab().items() if word in words}
    if not all(word in words for word in (*tokenizer.all_special_tokens, token(0), token(BINS - 1))):
        raise UnsupportedBaseError(
            f"{base.folder} has other words than this package's grammar: it cannot be trained on"
        )
    weights = {k: v for k, v in base.model.state_dict().items() if k in own}
    if isinstance(model.model.vision_tower, SightTower):
        own = {k: v for k, v in own.items() if _TOWER not in k}
    elif isinstance(base.model.model.vision_tower, SightTower):
        raise UnsupportedBaseError(
            f"{base.folder} sees with frozen eyes, the recipe's model with a tower of its own: take a recipe with the "
            "stage eyes (clue_ros/training/eyes.yaml)"
        )
    wordy = {k for k, v in own.items() if len(v) == len(tokenizer) and k.endswith(_BY_WORD)}
    other = [k for k, v in own.items() if k not in weights or _form(weights[k], k in wordy) != _form(v, k in wordy)]
    if other:
        raise UnsupportedBaseError(
            f"{base.folder} is a model of another size than the recipe's ({len(other)} tensors "
            f"differ, for example {other[0]}): give the recipe its size"
        )
    new, old = (torch.tensor(side) for side in zip(*rows.items()))
    with torch.no_grad():
        for name, value in own.items():
            if name in wordy:
                value[new] = weights[name][old].to(value.dtype)
            else:
                value.copy_(weights[name])


def _form(tensor: torch.Tensor, by_word: bool) -> torch.Size:
    return tensor.shape[1:] if by_word else tensor.shape


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
