"""A PaliGemma without weights, and the weights of a checkpoint put into it, one module at a time."""

from __future__ import annotations

import re
from math import prod
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch

from clue_ros.types import ModelLoadError
from clue_ros.vlm.shards import Shards

_HEAD, _EMBEDDING = "lm_head.weight", "model.language_model.embed_tokens.weight"
# Three generations of names: before transformers 4.52, since then, and since 5.
_PARTS = re.compile(
    r"(?:model\.)?(?:(language_model)\.(?:model\.)?|(vision_tower)\.(?:vision_model\.)?|(multi_modal_projector)\.)(.+)"
)


def skeleton(config) -> Any:  # transformers' decorators hide the types of its methods
    """A PaliGemmaForConditionalGeneration in evaluation mode whose parameters and buffers have shapes but no memory: a
    Filler gives it, or `to_empty` and `fill_buffers`."""
    from transformers import PaliGemmaForConditionalGeneration

    config._attn_implementation = {"text_config": "eager", "vision_config": "sdpa"}
    with torch.device("meta"):
        return PaliGemmaForConditionalGeneration(config).eval().requires_grad_(False)


def fill_buffers(model, device: str) -> None:
    """Buffers are in no checkpoint; they are made again from the configuration."""
    language = model.model.language_model
    language.rotary_emb = type(language.rotary_emb)(config=language.config).to(device)
    for module in list(model.modules()):
        for name, buffer in module.named_buffers(recurse=False):
            if name == "position_ids":
                made = torch.arange(buffer.shape[-1], device=device).expand(buffer.shape)
            elif name == "embed_scale":
                made = torch.tensor(language.config.hidden_size**0.5, device=device, dtype=buffer.dtype)
            elif module is language.rotary_emb:
                continue
            else:
                raise RuntimeError(f"the buffer {name} of this transformers version is not known here")
            setattr(module, name, made)


class Filler:
    """Puts a checkpoint's weights into a skeleton. Call it with a module: what lies in it gets memory and numbers."""

    def __init__(self, model, shards: Shards, dtype: torch.dtype, device: str):
        """Raises ModelLoadError if a tensor is missing or of another shape, before any is read."""
        self._shards, self._device = shards, device
        self._for_now: Optional[torch.Tensor] = None
        model.to(dtype).tie_weights()
        model.config.dtype = dtype
        fill_buffers(model, device)
        stored = {_name(key): key for key in shards}
        if _HEAD not in stored:
            model.lm_head.weight = model.model.language_model.embed_tokens.weight
        elif not _tied(model, shards, stored):
            model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight), requires_grad=False)
        elif _EMBEDDING not in stored:
            stored[_EMBEDDING] = stored[_HEAD]
        wanted = dict(model.named_parameters())  # one name where two are tied
        missing = [name for name in wanted if name not in stored]
        unlike = [n for n, p in wanted.items() if n in stored and shards.shape(stored[n]) != tuple(p.shape)]
        if missing or unlike:
            raise ModelLoadError(
                f"{shards.name}: {len(missing)} tensors missing and {len(unlike)} of another shape than "
                f"config.json says, for example {(missing + unlike)[0]}"
            )
        self._keys = {id(parameter): stored[name] for name, parameter in wanted.items()}
        self._owners: Dict[int, List[Tuple[torch.nn.Module, str]]] = {}
        for part in model.modules():
            for name, parameter in part.named_parameters(recurse=False):
                self._owners.setdefault(id(parameter), []).append((part, name))

    def __call__(self, module: torch.nn.Module) -> None:
        """Raises ModelLoadError naming the file that cannot be read, or torch's error where memory runs out."""
        for part in module.modules():
            for _, parameter in list(part.named_parameters(recurse=False)):
                if parameter.is_meta:
                    self._fill(parameter, self._memory(parameter.shape, parameter.dtype))

    def together(self, parts: Sequence[torch.nn.Linear], for_now: bool = False) -> torch.Tensor:
        """The weights of several modules below each other, read into one piece of memory that all are views of.
        for_now: valid until the next call; pieces of memory made and freed between others that stay leave holes."""
        empty = [part.weight for part in parts]
        shape = (sum(p.shape[0] for p in empty), *empty[0].shape[1:])
        if for_now:
            if self._for_now is None or self._for_now.numel() < prod(shape):
                self._for_now = None
                self._for_now = self._memory((prod(shape),), empty[0].dtype)
            whole = self._for_now[: prod(shape)].view(shape)
        else:
            whole = self._memory(shape, empty[0].dtype)
        for parameter, rows in zip(empty, whole.split([p.shape[0] for p in empty])):
            self._fill(parameter, rows)
        return whole

    def _memory(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        with torch.inference_mode(False):  # training may go on with what a plan was built from
            return torch.empty(tuple(shape), dtype=dtype, device=self._device)

    def _fill(self, empty: torch.Tensor, memory: torch.Tensor) -> None:
        with torch.inference_mode(False):
            self._shards.read(self._keys[id(empty)], memory)
            full = torch.nn.Parameter(memory, requires_grad=False)
        for owner, name in self._owners[id(empty)]:
            setattr(owner, name, full)


def _tied(model, shards: Shards, stored: Dict[str, str]) -> bool:
    """Whether head and embedding are one, as config.json says; a file with two that differ knows better."""
    if not getattr(model.config, "tie_word_embeddings", True):
        return False
    return _EMBEDDING not in stored or shards.same(stored[_HEAD], stored[_EMBEDDING])


def _name(key: str) -> str:
    """The name that a tensor of a checkpoint has in the model."""
    match = _PARTS.fullmatch(key)
    if match is None:
        return key
    rest = match[4]
    return rest if match[1] and rest == _HEAD else f"model.{match[1] or match[2] or match[3]}.{rest}"
