"""What the recipe of every stage and task says about the loop (training/loop.py)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LoopSettings:
    """batch: images or examples of a step; lr: the highest learning rate; optimizer: 'adamw' or 'muon'; schedule:
    'cosine' or 'linear' after `warmup` steps; restart: step from which it runs a second time, at `restart_scale` of the
    rate (0: never; optimizer.rate)."""

    steps: int = 1000
    batch: int = 16
    lr: float = 1e-3
    weight_decay: float = 1e-4
    seed: int = 0
    optimizer: str = "adamw"
    schedule: str = "cosine"
    warmup: int = 50
    restart: int = 0
    restart_scale: float = 0.5


@dataclass(frozen=True)
class MeasuredSettings(LoopSettings):
    """validate_every: steps between two measurements on held-out scenes or examples, 0 for never; validation: how many
    of them; metric: the figure that makes weights the best; keep: 'best' or 'last', what the next stage takes;
    keep_best: how many of the best weights stay in the run folder, as best-STEP.safetensors where they are more than
    one; wandb: a project of Weights & Biases that gets the readings too, '' for none."""

    validate_every: int = 100
    validation: int = 48
    metric: str = "loss"
    keep: str = "best"
    keep_best: int = 1
    wandb: str = ""
