"""What a model directory takes of memory at most, while it loads and while it answers, in a fresh process that may be
limited (RLIMIT_DATA: what a process has of its own; files that it maps are not counted)."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

import clue_ros
from clue_ros.lab.bench.order import EMBEDDED, EMBEDDED_MODEL, THREE_B
from clue_ros.types import ClueError

_INSTRUCTION = "the red mug"


@dataclass(frozen=True)
class Footprint:
    """Of one model in one form, bytes and seconds. libraries: of the process before (resident set); stays: of the
    loaded model; loading: the most while it loaded, both beyond `libraries`; total: the most of the whole process,
    answer included; outcome: of the answer."""

    dtype: str
    libraries: int
    stays: int
    loading: int
    total: int
    load_s: float
    answer_s: float
    outcome: str

    @property
    def ratio(self) -> float:
        """Peak of loading to what stays."""
        return self.loading / self.stays


def footprint(folder: Path, dtype: str = "auto", quantization: str = "none", limit: Optional[int] = None) -> Footprint:
    """Load a model directory on the CPU in a process of its own and let it find a red mug in noise.

    Args:
        folder: a model directory.
        dtype, quantization: as for Grounder.from_pretrained.
        limit: bytes that the process may have of its own; None for no limit.

    Raises ClueError with the last line that the process wrote, if it ended before its time.
    """
    request = json.dumps([str(folder), dtype, quantization, limit])
    package = str(Path(clue_ros.__file__).resolve().parents[1])
    path = os.pathsep.join(p for p in (package, os.environ.get("PYTHONPATH", "")) if p)
    done = subprocess.run(
        [sys.executable, "-m", "clue_ros.lab.bench.footprint", request],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
        raise ClueError(f"{folder} in {dtype}, {quantization}: {lines[-1]}")
    return Footprint(**json.loads(done.stdout.splitlines()[-1]))


def footprint_of(model: str, dtype: str, quantization: str, limit: Optional[int]) -> Footprint:
    """The same of 'embedded', of '3b' (random weights at the true dimensions, written for the time being) or of a
    directory. Raises ClueError."""
    if model != THREE_B:
        return footprint(EMBEDDED_MODEL if model == EMBEDDED else Path(model), dtype, quantization, limit)
    from clue_ros.lab.bench.paligemma2_3b import build_tokenizer, configuration
    from clue_ros.lab.bench.random_folder import write_random_folder

    with tempfile.TemporaryDirectory(prefix="clue-3b-") as folder:
        write_random_folder(Path(folder), configuration(), build_tokenizer(_INSTRUCTION.split()))
        return footprint(Path(folder), dtype, quantization, limit)


def _measure(folder: Path, dtype: str, quantization: str) -> Footprint:
    import numpy as np

    from clue_ros.grounder import Grounder
    from clue_ros.lab.bench.memory import peak, reset_peak, resident
    from clue_ros.vlm.memory import release

    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    small = Grounder.from_pretrained()  # the libraries have their threads and buffers now
    small.ground(image, _INSTRUCTION)
    small.close()
    del small
    release()
    before = resident() or 0
    if not reset_peak("cpu"):
        raise ClueError("this system does not let a process begin a new high-water mark (/proc/self/clear_refs)")
    start = time.monotonic()
    grounder = Grounder.from_pretrained(folder, dtype=dtype, quantization=quantization)
    loaded, loading = time.monotonic(), peak("cpu") - before
    release()
    stays = (resident() or 0) - before
    decision = grounder.ground(image, _INSTRUCTION, may_ask=False)
    backbone: Any = grounder.backbone  # a directory's own, which knows its precision
    return Footprint(
        str(backbone.precision.storage).replace("torch.", ""), before, stays, loading, peak("cpu"),
        loaded - start, time.monotonic() - loaded, decision.outcome.value,
    )  # fmt: skip


def main() -> int:
    folder, dtype, quantization, limit = json.loads(sys.argv[1])
    if limit:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        print(json.dumps(asdict(_measure(Path(folder), dtype, quantization))))
    except ClueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
