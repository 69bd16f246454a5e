"""Muon for the matrices, AdamW for the rest, in one object with one learning-rate schedule.

torch.optim.Muon orthogonalises in bfloat16, which processors without bf16 units emulate at a fifth of the speed of
float32, and in every process anew. This one does the same five Newton-Schulz steps (Jordan et al. 2024, with the update
scaled to AdamW's root mean square as in Liu et al. 2025, so that both parts share one learning rate) in bfloat16 only
where the processor has units for it, and processes that share a batch share the matrices too.
"""

from __future__ import annotations

import math
from typing import Callable, Dict, Iterable, List, Tuple

import torch

from clue_ros.processor import has_bfloat16_units
from clue_ros.training.parallel import rank, summed, world

KINDS = ("muon", "adamw")


class Muon(torch.optim.Optimizer):
    def __init__(self, parameters, lr: float = 1e-3, momentum: float = 0.95, weight_decay: float = 0.02):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            wanted = []
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                wanted.append((p, p.grad.lerp(state["momentum"], group["momentum"])))
            for (p, _), update in zip(wanted, _orthogonalized([direction for _, direction in wanted])):
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * 0.2 * math.sqrt(max(p.shape)))


def _orthogonalized(matrices: List[torch.Tensor]) -> List[torch.Tensor]:
    """Each process makes its share of them, as every process holds the same gradients."""
    if world() == 1:
        return [orthogonalize(matrix) for matrix in matrices]
    # Largest first, in turn: the shares take about as long.
    order = sorted(range(len(matrices)), key=lambda i: -matrices[i].numel())
    mine = set(order[rank() :: world()])
    flat = summed(
        torch.cat(
            [(orthogonalize(m) if i in mine else torch.zeros_like(m)).reshape(-1) for i, m in enumerate(matrices)]
        )
    )
    return [part.view_as(m) for part, m in zip(flat.split([m.numel() for m in matrices]), matrices)]


def orthogonalize(gradient: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Nearest semi-orthogonal matrix of a 2-D gradient by quintic Newton-Schulz iterations, in the gradient's dtype."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = gradient.T if gradient.shape[0] > gradient.shape[1] else gradient
    x = x / (x.norm() + 1e-7)
    if x.device.type == "cpu" and has_bfloat16_units():
        x = x.bfloat16()
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if gradient.shape[0] > gradient.shape[1] else x).to(gradient.dtype)


class Optimizer:
    """Named parameters with one or more learning rates behind one schedule.

    kind 'muon': 2-D weights of layers by Muon, the rest (embeddings, norms, biases, heads) by AdamW without decay;
    'adamw': everything by AdamW, as the paper trains its adapters and its CNN. clip: largest norm of all gradients.
    """

    def __init__(
        self,
        named: Iterable[Tuple[str, torch.nn.Parameter]] = (),
        lr: float = 1e-3,
        weight_decay: float = 0.02,
        kind: str = "muon",
        clip: float = 1.0,
    ):
        self._clip = clip
        self.parameters: List[torch.nn.Parameter] = []
        self._parts: List[torch.optim.Optimizer] = []
        self._rates: List[float] = []
        self.add(named, lr, weight_decay, kind)

    def add(
        self, named: Iterable[Tuple[str, torch.nn.Parameter]], lr: float, weight_decay: float = 0.02, kind: str = "muon"
    ) -> None:
        """Add parameters with a learning rate of their own; those that need no gradient are left out."""
        if kind not in KINDS:
            raise ValueError(f"optimizer kind '{kind}' must be one of {', '.join(KINDS)}")
        matrices, others, seen = [], [], {id(p) for p in self.parameters}
        for name, p in named:
            if not p.requires_grad or id(p) in seen:
                continue
            seen.add(id(p))
            (matrices if kind == "muon" and p.ndim == 2 and "layers." in name else others).append(p)
        self.parameters += matrices + others
        if others and kind == "adamw":
            self._append(torch.optim.AdamW(others, lr=lr, weight_decay=weight_decay), lr)
        elif others:
            self._append(torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.98), weight_decay=0.0), lr)
        if matrices:
            self._append(Muon(matrices, lr=lr, weight_decay=weight_decay), lr)

    def _append(self, part: torch.optim.Optimizer, lr: float) -> None:
        self._parts.append(part)
        self._rates.append(lr)

    @property
    def rate(self) -> float:
        """The learning rate of the first parameters."""
        return self._rates[0]

    def step(self, scale: float) -> float:
        """Apply the gradients at each rate × scale and clear them; returns the gradient norm before clipping."""
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self._clip))
        for part, rate in zip(self._parts, self._rates):
            for group in part.param_groups:
                group["lr"] = rate * scale
            part.step()
            part.zero_grad(set_to_none=True)
        return norm

    def state_dict(self) -> list:
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, states: list) -> None:
        for part, state in zip(self._parts, states):
            part.load_state_dict(state)


def cosine(step: int, total: int, warmup: int = 50, floor: float = 0.02) -> float:
    """Learning-rate factor in (0, 1]: linear warm-up, then half a cosine down to `floor`."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def linear(step: int, total: int, warmup: int = 50) -> float:
    """Learning-rate factor in [0, 1]: linear warm-up, then a straight line to 0 after the last step (the paper)."""
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, 1 - (step - warmup) / max(1, total - warmup))


SCHEDULES: Dict[str, Callable[..., float]] = {"cosine": cosine, "linear": linear}


def rate(schedule: str, step: int, total: int, warmup: int = 50, restart: int = 0, restart_scale: float = 1.0) -> float:
    """Learning-rate factor of a step: one curve over `total` steps, or one over the first `restart` steps and another,
    `restart_scale` as high, over the rest (a warm restart, Loshchilov & Hutter 2017). The first steps are those of a
    run of `restart` steps, so a finished run goes on where its recipe grows."""
    curve = SCHEDULES[schedule]
    if not 0 < restart < total:
        return curve(step, total, warmup)
    if step < restart:
        return curve(step, restart, warmup)
    return restart_scale * curve(step - restart, total - restart, warmup)
