"""`clue train pack` and `unpack`: a run folder as files of at most 15 MiB, for machines that give back no more at once.

    clue train pack --output runs/tabletop --parts parts       # parts/run-00.part, …
    clue train unpack --output runs/tabletop --parts parts

Left behind is what can be made again (scenes, features) and what nobody asks for any more: the optimiser of a finished
stage, weights that the next stage did not take, the vision run's weights once the language run holds its tower. The
best weights so far of a stage that is not finished travel in float16; all else is as it was, so training goes on
exactly.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from pathlib import Path
from typing import Iterator, List, Tuple

from safetensors.torch import load_file, save

from clue_ros.training.loop import BEST, WEIGHTS, kept
from clue_ros.training.recipe import STAGES, TrainConfig, TrainingError

PART = 15 * 2**20  # bytes
SMALL = (".json", ".jsonl", ".yaml")


def pack(output: Path, parts: Path, config: TrainConfig) -> List[Path]:
    """Write the parts and return them. Raises TrainingError if there is nothing to pack."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive:
        for name, content in _content(Path(output), config):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        if not archive.getmembers():
            raise TrainingError(f"{output} holds no run of clue train: nothing to pack")
    parts = Path(parts)
    parts.mkdir(parents=True, exist_ok=True)
    for old in parts.glob("run-*.part"):
        old.unlink()
    whole, files = stream.getvalue(), []
    for n, start in enumerate(range(0, len(whole), PART)):
        files.append(parts / f"run-{n:02d}.part")
        files[-1].write_bytes(whole[start : start + PART])
    return files


def unpack(output: Path, parts: Path) -> List[str]:
    """Put the files of a pack into a run folder and return their names. Raises TrainingError if a part is missing or
    broken, or would write outside the folder."""
    files = sorted(Path(parts).glob("run-*.part"))
    if not files or [f.name for f in files] != [f"run-{n:02d}.part" for n in range(len(files))]:
        raise TrainingError(f"{parts} must hold run-00.part and the parts after it, without a gap")
    try:
        # Unpacked as a whole: tarfile by itself stops before the checksum at the end.
        whole = io.BytesIO(gzip.decompress(b"".join(f.read_bytes() for f in files)))
        with tarfile.open(fileobj=whole, mode="r:") as archive:
            members = archive.getmembers()
            for member in members:
                path = Path(member.name)
                if not member.isfile() or path.is_absolute() or ".." in path.parts:
                    raise TrainingError(f"{files[0]}: '{member.name}' does not belong into a run folder")
            for member in members:
                target = Path(output) / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.extractfile(member).read())
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise TrainingError(f"{parts}: the parts do not make a whole ({error}); bring all of them") from error
    return [member.name for member in members]


def _content(output: Path, config: TrainConfig) -> Iterator[Tuple[str, bytes]]:
    """(name, content) of what must travel."""
    for file in sorted(output.glob("*.json")):
        yield file.name, file.read_bytes()
    for file in sorted((output / "model").rglob("*")):
        if file.is_file():
            yield file.relative_to(output).as_posix(), file.read_bytes()
    for stage in STAGES:
        folder = output / stage
        if not (folder / "state.json").is_file():
            continue
        for file in sorted(folder.iterdir()):
            if file.suffix in SMALL:
                yield f"{stage}/{file.name}", file.read_bytes()
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if state["step"] < getattr(config, stage).steps:
            for name in (WEIGHTS, "optimizer.safetensors"):
                yield f"{stage}/{name}", (folder / name).read_bytes()
            if (folder / BEST).is_file():
                yield (
                    f"{stage}/{BEST}",
                    save(
                        {k: v.half() if v.is_floating_point() else v for k, v in load_file(str(folder / BEST)).items()}
                    ),
                )
        elif stage != "vision" or not (output / "language/state.json").is_file():
            # A finished stage resumes from nothing; what the next one takes is all that is left of it.
            name = BEST if kept(folder)["weights"] == "best" else WEIGHTS
            yield f"{stage}/{name}", (folder / name).read_bytes()
