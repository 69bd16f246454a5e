"""The self-check's verdicts, remembered: a robot that starts every morning does not check the same machine again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict

import torch

from clue_ros.version import VERSION
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.self_check import GRAPHS, Verdict, check, device_name, switch

KEPT = 50  # verdicts in the file

log = logging.getLogger(__name__)


def check_once(backbone: PaliGemmaBackbone, folder: Path, quantization: str, merge: str) -> Verdict:
    """`check` once for a model, a device and a version; afterwards what it found is remembered and applied.

    folder: the model's; quantization, merge: how it was loaded. Raises OutOfMemoryError.
    """
    file = memory_file()
    key = _key(backbone, folder, quantization, merge)
    known = _read(file).get(key)
    if known is not None:
        for choice, why in known["off"].items():
            switch(backbone, choice, False)
            backbone.runner.remarks.append(why)
        return Verdict(off=known["off"], remembered=True)
    verdict = check(backbone)
    _remember(file, key, verdict, backbone)
    return verdict


def memory_file() -> Path:
    """Where verdicts are kept: in the user's folder for caches."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clue_ros" / "self_check.json"


def _key(backbone: PaliGemmaBackbone, folder: Path, quantization: str, merge: str) -> str:
    files = sorted(f for f in Path(folder).rglob("*") if f.suffix in (".safetensors", ".json") and f.is_file())
    stamps = [(str(f.relative_to(folder)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    parts = (
        *(str(Path(folder).resolve()), stamps, quantization, merge, str(backbone.precision)),
        *(
            str(backbone.device),
            device_name(backbone.device),
            VERSION,
            torch.__version__,
            str(torch.version.cuda),
            _driver(),
        ),
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _driver() -> str:
    try:
        return Path("/proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _read(file: Path) -> Dict[str, Any]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        return {k: v for k, v in known.items() if set(v["off"]) <= {GRAPHS}}
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return {}  # none yet, or damaged: the check is made again


def _remember(file: Path, key: str, verdict: Verdict, backbone: PaliGemmaBackbone) -> None:
    known = dict(list(_read(file).items())[-(KEPT - 1) :])
    known[key] = {
        "off": verdict.off,
        "findings": [asdict(finding) for finding in verdict.findings],
        "device": device_name(backbone.device),
        "version": VERSION,
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        os.replace(partial, file)
    except OSError as error:
        log.info("the verdict about this device is not remembered: %s", error)
