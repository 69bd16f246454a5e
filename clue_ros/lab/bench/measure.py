"""Measure one subject row by row: ours and the plain path in turns, then floors and ratios. Runs in its own process."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Optional, Sequence

import torch

from clue_ros.lab.bench import floor
from clue_ros.lab.bench.machine import Rates, describe, dtype_rates, measure_rates
from clue_ros.lab.bench.memory import peak, reset_peak, resident
from clue_ros.lab.bench.order import THREE_B, Order
from clue_ros.lab.bench.plain import Marks
from clue_ros.lab.bench.rows import PlainRun, Row, rows_of
from clue_ros.lab.bench.subject import QUESTION_TOKENS, Subject, memory_needed, weight_bytes
from clue_ros.lab.bench.timing import Samples, percentile
from clue_ros.types import ClueError, OutOfMemoryError
from clue_ros.vlm.memory import available_memory

Event = Dict[str, Any]
Emit = Callable[[Event], None]

SLOW = 5.0  # seconds that a clear instruction may take before rows and rounds are saved
ROW_SECONDS = 4.0  # of a row of a fast model
FEWEST, MOST = 5, 25  # rounds of a row of a fast model


def measure(order: Order, rounds: Optional[int], emit: Emit, only: Sequence[str] = ()) -> None:
    """Emit events: 'about' the subject, 'plan' (how many timed calls), 'tick' after each call, 'row' after each row, or
    'skip' with a reason.

    rounds: None for as many as the machine's speed suggests; only: ids of the rows wanted, empty for all.
    """
    try:
        config = order.configuration()
        reason = _too_small(order, config)
        if reason:
            emit({"event": "skip", "reason": reason})
            return
        libraries = resident()
        rates = measure_rates(
            config, weight_bytes(order, config), order.device, order.precision.compute, eyes=order.has_eyes
        )
        clean = reset_peak(order.device)
        subject = Subject.load(order)
    except OutOfMemoryError as error:
        emit({"event": "skip", "reason": str(error)})
        return
    except ClueError as error:
        emit({"event": "skip", "reason": f"cannot be loaded: {error}"})
        return
    emit({"event": "about", **_about(subject, rates, libraries, clean)})
    _Run(subject, rates, emit, rounds, only, 0 if torch.device(order.device).type == "cuda" else libraries or 0).all()


class _Run:
    """The rows of one subject."""

    def __init__(
        self, subject: Subject, rates: Rates, emit: Emit, rounds: Optional[int], only: Sequence[str], libraries: int = 0
    ):
        self._libraries = libraries  # bytes that were resident before the model: no part of what it needs
        self._subject, self._rates, self._emit, self._rounds, self._only = subject, rates, emit, rounds, only
        self._device = subject.order.device
        self._slow = False
        self._plain = _PlainRuns()

    def all(self) -> None:
        rows = [r for r in rows_of(self._subject) if not self._only or r.id in self._only]
        if not rows:
            known = ", ".join(r.id for r in rows_of(self._subject))
            self._emit({"event": "skip", "reason": f"it has no rows {', '.join(self._only)}; its rows are {known}"})
            return
        first = rows[0]
        samples = self._first_call(first)
        self._slow = samples.seconds[0] > SLOW
        if self._slow:
            rows = [r for r in rows if r.light]
            self._plain.share(rows)
            self._subject.keep_looks()
        rounds = self._rounds or (1 if self._slow else None)
        self._emit({"event": "plan", "rows": len(rows), "rounds": rounds, "slow": self._slow})
        # The first call of a slow model counts: a warm-up would cost as much as the whole row.
        kept = {first.id: samples} if self._slow else {}
        for row in rows:
            self._emit({"event": "row", **self._row(row, rounds, kept.get(row.id))})

    def _first_call(self, row: Row) -> Samples:
        """One call before the plain path has ever run, so that the high-water mark is ours alone."""
        samples = self._ours(row, Samples())
        tokens = row.way.answered()
        self._tick(row, "ours")
        used, weights = peak(self._device), self._subject.weight_bytes
        name = "memory" if row.id == "box" else f"memory_{row.id}"
        self._emit(
            {
                "event": "row",
                **self._facts(name, f"peak memory, loading and {row.title}"),
                "peak_bytes": used,
                "weight_bytes": weights,
                "times_weights": (used - self._libraries) / weights,
                "ours": _spread([]),
                "plain": None,
                "note": f"of it {self._libraries / 1e9:.2f} GB interpreter and libraries, which the ratio leaves out"
                if self._libraries
                else "allocated on the GPU",
            }
        )
        row.way.said.extend([tokens] if tokens else [])
        return samples

    def _row(self, row: Row, rounds: Optional[int], samples: Optional[Samples]) -> Event:
        if not self._slow:
            self._warm_up(row)
        ours, plain, began = samples or Samples(), [], time.perf_counter()
        done, tokens, plain_peak = 0, 0, None
        while self._more(rounds, done, began):
            if done >= len(ours.seconds):
                self._ours(row, ours)
                self._tick(row, "ours")
            tokens = row.way.answered() or tokens
            if row.plain is not None and (row.plain_when_slow or not self._slow):
                _ = row.plain.way.plain  # making it is neither timed nor part of its peak
                clean = reset_peak(self._device) if done == 0 else False
                plain.append(self._plain.seconds(row.plain, _tokens(row, tokens), done, self._subject.order))
                plain_peak = peak(self._device) if clean else plain_peak
                self._tick(row, "plain")
            done += 1
        return self._event(row, ours, plain, tokens, plain_peak)

    def _warm_up(self, row: Row) -> None:
        """One call of each that does not count."""
        self._ours(row, Samples())
        if row.plain is not None:
            self._plain.seconds(row.plain, _tokens(row, row.way.answered()), 0, self._subject.order)

    def _more(self, rounds: Optional[int], done: int, began: float) -> bool:
        if rounds is not None:
            return done < rounds
        return done < FEWEST or (done < MOST and time.perf_counter() - began < ROW_SECONDS)

    def _ours(self, row: Row, samples: Samples) -> Samples:
        prepared = row.prepare() if row.prepare is not None else None
        row.way.answered()
        samples.time(lambda: row.ours(prepared), self._device)
        return samples

    def _event(self, row: Row, ours: Samples, plain: List[float], tokens: int, plain_peak: Optional[int]) -> Event:
        event = {
            **self._facts(row.id, row.title),
            "detector": row.way.settings.detector,
            "tokens": tokens or None,
            "note": row.note,
            "ours": _spread(ours.seconds),
            "plain": _spread(plain) if plain else None,
            "plain_peak_bytes": plain_peak,
            "outcome": getattr(getattr(ours.result, "outcome", None), "value", None),
        }
        if plain:
            event["ratio"] = event["ours"]["p50"] / event["plain"]["p50"]
        if row.phases is not None:
            phases, storage = row.phases(tokens), self._subject.order.precision.storage.itemsize
            rates = self._rates
            seconds = floor.floor_seconds(phases, rates.flops, rates.bandwidth, storage, rates.eyes)
            event.update(
                flops=floor.total(phases).flops,
                bytes=sum(phase.elements * phase.width(storage) for phase in phases),
                floor_s=seconds,
                times_floor=event["ours"]["p50"] / seconds,
            )
        return event

    def _facts(self, identity: str, title: str) -> Event:
        named = {"model": self._subject.order.model, "device": self._device, "id": identity, "title": title}
        sight = self._subject.sight
        return {**named, "sees": sight.eyes.engine.split("-")[0], "glances": sight.glances} if sight else named

    def _tick(self, row: Row, who: str) -> None:
        self._emit({"event": "tick", "row": row.title, "who": who})


class _PlainRuns:
    """Times plain runs. Where one takes a minute, runs that do the same work up to their tokens are one run: the
    longest of them, whose clock was read on the way."""

    def __init__(self) -> None:
        self._longest: Dict[Any, PlainRun] = {}
        self._marks: Dict[Any, Marks] = {}
        self._shared = False

    def share(self, rows: Sequence[Row]) -> None:
        self._shared = True
        for row in rows:
            if row.plain is not None and row.plain.speak and row.id == "question":
                self._longest[row.plain.group()] = row.plain

    def seconds(self, run: PlainRun, tokens: int, turn: int, order: Order) -> float:
        if run.features_only:
            return _timed_features(run, order.device)
        longest = self._longest.get(self._same_work(run)) if self._shared and order.model == THREE_B else None
        if longest is None:
            return run.way.plain.run(run.rgb, run.detect, run.speak, tokens).until(tokens)
        key = (self._same_work(run), turn)
        if key not in self._marks:
            self._marks[key] = longest.way.plain.run(longest.rgb, longest.detect, longest.speak, QUESTION_TOKENS)
        return self._marks[key].until(tokens)

    def _same_work(self, run: PlainRun):
        for group in self._longest:
            if run.group() == group or (not run.speak and run.group()[:1] == group[:1]):
                return group
        return None


def _tokens(row: Row, said: int) -> int:
    """How many tokens the plain path is to say: as many as ours, or the first if only its odds were read, or none."""
    return said if row.speaks else int(row.plain is not None and bool(row.plain.speak))


def _timed_features(run: PlainRun, device: str) -> float:
    samples, plain = Samples(), run.way.plain
    samples.time(lambda: plain.features(run.rgb), device)
    return samples.seconds[0]


def _spread(seconds: Sequence[float]) -> Event:
    return {
        "p50": percentile(seconds, 0.5),
        "p95": percentile(seconds, 0.95),
        "seconds": [round(s, 6) for s in seconds],
    }


def _too_small(order: Order, config) -> str:
    free, needed = available_memory(order.device), memory_needed(order, config)
    if free is None or free >= needed:
        return ""
    return (
        f"memory is short: about {needed / 1e9:.1f} GB are needed on {order.device}, {free / 1e9:.1f} GB are free "
        f"(weights in {str(order.precision.storage).replace('torch.', '')})"
    )


def _about(subject: Subject, rates: Rates, libraries: Optional[int], clean: bool) -> Event:
    order, precision = subject.order, subject.order.precision
    name = lambda dtype: str(dtype).replace("torch.", "")  # noqa: E731
    return {
        "model": order.model,
        "device": order.device,
        "storage": name(precision.storage),
        "compute": name(precision.compute),
        "quantization": order.quantization,
        "glances": order.glances,
        "adapters": sorted(subject.backbone.adapters),
        "weight_bytes": subject.weight_bytes,
        "libraries_bytes": libraries,
        "peak_is_clean": clean,
        "pictures": subject.show.source,
        "rates": rates.to_dict(),
        "dtype_rates": dtype_rates(order.device),
        "settings": {k: getattr(subject.backbone.settings, k) for k in ("prefix_attention", "tap_layer", "detector")},
        "plain_computes_all_logits": order.all_logits,
        "plain_is_widened": precision.storage != precision.compute,
        "machine": describe(order.device),
    }
