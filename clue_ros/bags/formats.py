"""What a path is before it is opened: a bag of ROS 2, or something that only looks like one. Every text says what to
do.

MCAP is read by its specification (https://mcap.dev/spec): magic, Header with a profile, Footer with the place of the
summary, which repeats schemas and channels.
"""

from __future__ import annotations

import struct
from pathlib import Path
from shlex import quote
from typing import BinaryIO, Iterator, List, Set, Tuple

from clue_ros.bags.errors import BagError

STORAGE_SUFFIXES = (".mcap", ".db3")
ADVICE = "it was cut short or is not a bag; `mcap recover FILE` or `ros2 bag reindex FOLDER` save what can be saved"
EMPTY = "is empty: it holds no message; check that the recorded topics are published"
METADATA = "metadata.yaml"
_ROS1_MAGIC, _MCAP_MAGIC = b"#ROSBAG V", b"\x89MCAP0\r\n"
_HEADER, _FOOTER, _SCHEMA, _CHANNEL = 0x01, 0x02, 0x03, 0x04
_FOOTER_BYTES = 1 + 8 + 20 + len(_MCAP_MAGIC)
_OURS = {"cdr", "ros2msg", "ros2idl", "omgidl", ""}  # of messages and of schemas
_SUMMARY_BYTES = 16 << 20  # no summary that says what is asked here is longer


def storage_of(path: Path) -> Path:
    """What the reader opens: the folder, or its one storage file if a killed recorder left no metadata.yaml.

    Raises BagError: not there, not a bag, one of ROS 1, cut short, messages of another system.
    """
    if not path.exists():
        raise BagError(f"the bag {path} does not exist: give a bag's folder, or a .mcap or .db3 file")
    try:
        storage = _file(path) if path.is_file() else _folder(path)
        for file in _files(storage):
            _check_length(file)
            if file.suffix == ".mcap":
                _check_mcap(file)
    except OSError as error:
        raise BagError(f"cannot read {path}: {error.strerror or error}") from error
    return storage


def _file(path: Path) -> Path:
    _refuse_ros1(path)
    if path.suffix in (".zstd", ".zst"):
        raise BagError(f"{path} is a compressed file of a bag: give its folder, or unpack it with `zstd -d {path}`")
    if path.suffix not in STORAGE_SUFFIXES:
        raise BagError(f"{path} is not a bag: give a bag's folder, or a .mcap or .db3 file")
    return path


def _folder(path: Path) -> Path:
    if (path / METADATA).is_file():
        return path
    inside = sorted(path.iterdir())
    files = [file for file in inside if file.suffix in STORAGE_SUFFIXES and file.is_file()]
    if len(files) == 1:
        return files[0]
    if files:
        raise BagError(
            f"{path} has no {METADATA} and {len(files)} files that may belong together: `ros2 bag reindex {path}`"
            " makes one, or give one of the files"
        )
    for file in inside:
        if file.is_file():
            _refuse_ros1(file)
    bags = [folder.name for folder in inside if folder.is_dir() and (folder / METADATA).is_file()]
    hint = f"it holds bags, give one of them: {', '.join(bags[:5])}" if bags else "give a bag's folder"
    raise BagError(f"{path} is not a bag: it has no {METADATA} and no .mcap or .db3 file; {hint}")


def _files(storage: Path) -> List[Path]:
    return [storage] if storage.is_file() else sorted(f for f in storage.iterdir() if f.suffix in STORAGE_SUFFIXES)


def _refuse_ros1(path: Path) -> None:
    with path.open("rb") as stream:
        begins = stream.read(len(_ROS1_MAGIC))
    if begins == _ROS1_MAGIC or path.suffix == ".bag":
        raise BagError(
            f"{path} is a ROS 1 bag, convert it: rosbags-convert --src {quote(str(path))} --dst "
            f"{quote(path.stem + '_ros2')}"
        )


def _check_length(file: Path) -> None:
    """SQLite itself opens a database that has lost its end, and misses it only where a query comes that far."""
    if file.suffix != ".db3":
        return
    with file.open("rb") as stream:
        header = stream.read(32)
    page = int.from_bytes(header[16:18], "big")
    expected = (65536 if page == 1 else page) * int.from_bytes(header[28:32], "big")
    if len(header) == 32 and file.stat().st_size < expected:
        raise BagError(f"{file} has {file.stat().st_size} bytes, its header says {expected}: {ADVICE}")


def _check_mcap(file: Path) -> None:
    """Raises BagError if its messages are not those of ROS 2; a file that is damaged passes, for the reader names
    that.
    """
    with file.open("rb") as stream:
        try:
            profile = _profile(stream)
        except (struct.error, EOFError, UnicodeDecodeError):
            return
        try:
            encodings = _encodings(stream)
        except (struct.error, EOFError, UnicodeDecodeError):
            encodings = None
    if profile == "ros1" or encodings and encodings & {"ros1", "ros1msg"}:
        raise BagError(
            f"{file} is an MCAP of ROS 1 messages: convert the .bag that it was made from (rosbags-convert --src "
            "FILE.bag"
            " --dst FOLDER), or the file itself as docs/bags.md shows"
        )
    if encodings is None:
        return
    if not encodings:
        raise BagError(f"{file} {EMPTY}")
    foreign = " and ".join(sorted(encodings - _OURS))
    if foreign and "cdr" in encodings:
        raise BagError(
            f"{file} holds {foreign} messages beside those of ROS 2: take the camera's and speech's topics out with"
            " `mcap filter`"
        )
    if foreign:
        raise BagError(
            f"{file} is an MCAP of {foreign} messages, not of ROS 2's: record the camera with `ros2 bag record -s mcap`"
        )
    if profile != "ros2":
        raise BagError(
            f"{file} is an MCAP whose profile is {profile!r}, not ros2: `ros2 bag convert` writes one that says ros2"
        )


def _profile(stream: BinaryIO) -> str:
    if stream.read(len(_MCAP_MAGIC)) != _MCAP_MAGIC:
        raise EOFError("no MCAP")
    kind, content = next(_records(stream.read(4096)), (0, b""))
    if kind != _HEADER:
        raise EOFError("no header")
    return _string(content, 0)[0]


def _encodings(stream: BinaryIO) -> Set[str]:
    """Of messages and of their schemas, as the summary names them. Raises EOFError without a whole summary."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - _FOOTER_BYTES))
    footer = stream.read(_FOOTER_BYTES)
    if len(footer) < _FOOTER_BYTES or footer[0] != _FOOTER or not footer.endswith(_MCAP_MAGIC):
        raise EOFError("no footer")
    (start,) = struct.unpack_from("<Q", footer, 9)
    if not start:
        raise EOFError("no summary")
    found: Set[str] = set()
    stream.seek(start)
    for kind, content in _records(stream.read(min(_SUMMARY_BYTES, max(0, size - _FOOTER_BYTES - start)))):
        if kind == _SCHEMA:  # id, name, encoding
            found.add(_string(content, _string(content, 2)[1])[0])
        elif kind == _CHANNEL:  # id, schema's id, topic, encoding
            found.add(_string(content, _string(content, 4)[1])[0])
    return found


def _records(data: bytes) -> Iterator[Tuple[int, bytes]]:
    """(opcode, content) of the whole records that lie one behind the other."""
    at = 0
    while at + 9 <= len(data):
        kind, (length,) = data[at], struct.unpack_from("<Q", data, at + 1)
        if at + 9 + length > len(data):
            return
        yield kind, data[at + 9 : at + 9 + length]
        at += 9 + length


def _string(data: bytes, at: int) -> Tuple[str, int]:
    """A string with its length before it, and where the next field begins."""
    (length,) = struct.unpack_from("<I", data, at)
    return data[at + 4 : at + 4 + length].decode("utf-8"), at + 4 + length
