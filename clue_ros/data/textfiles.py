"""Text files of any length, a piece at a time: lines, JSON arrays, tables. Nothing here unpickles or evaluates."""

from __future__ import annotations

import csv
import json
from itertools import islice
from pathlib import Path
from typing import Any, Iterator, List, Tuple

from clue_ros.problems import BrokenDataError

MAX_LINE = 16 << 20  # bytes of one line
MAX_ELEMENT = 64 << 20  # characters of one element of a JSON array
_CHUNK = 1 << 20


def read_lines(path: Path) -> Iterator[Tuple[int, bytes]]:
    """(number from 1, bytes without line end) of every line that is not blank. A line longer than MAX_LINE comes cut,
    with a byte that is not UTF-8 at its end, so that decoding it fails."""
    number = 0
    with open(path, "rb") as file:
        while True:
            line = file.readline(MAX_LINE)
            if not line:
                return
            number += 1
            if len(line) == MAX_LINE and not line.endswith(b"\n"):
                rest = line
                while rest and not rest.endswith(b"\n"):
                    rest = file.readline(MAX_LINE)
                line = line[:80] + b"\xff"
            if number == 1 and line.startswith(b"\xef\xbb\xbf"):
                line = line[3:]
            line = line.strip()
            if line:
                yield number, line


def count_lines(path: Path) -> int:
    """Lines that are not blank."""
    with open(path, "rb") as file:
        return sum(1 for line in iter(lambda: file.readline(MAX_LINE), b"") if line.strip())


def holds_lines(path: Path) -> bool:
    """Whether a .json file is in truth one object a line, and no list or object of lists."""
    try:
        objects = [json_object(line) for _, line in islice(read_lines(path), 2)]
    except ValueError:
        return False
    return len(objects) == 2 or (len(objects) == 1 and any(name in objects[0] for name in ("image", "uuid")))


def text_of(line: bytes) -> str:
    """Raises ValueError if the line is not UTF-8 (or was too long)."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text, or longer than {MAX_LINE >> 20} MiB") from error


def json_object(line: bytes) -> dict:
    """A JSON object. Raises ValueError for anything else; NaN and Infinity are not JSON."""
    text = text_of(line)
    try:
        value = _DECODER.decode(text)
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError(f"must be a JSON object, got {type(value).__name__}")
    if "\\ud" in text.lower():
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError("holds half a surrogate pair, which is no character") from error
    return value


def read_json_arrays(path: Path) -> Iterator[Tuple[str, int, Any]]:
    """(key, number from 1, element) of every array at the top of a JSON file: of `{"key": [element, …], …}`, or of a
    bare `[element, …]` with the key ''. Holds one element in memory at a time.

    Raises BrokenDataError with the place where the file stops to be JSON.
    """
    with open(path, encoding="utf-8-sig") as file:
        text = _Text(path, file)
        if text.take("["):
            yield from _array(text, "")
        elif text.take("{"):
            while not text.take("}"):
                key = text.value()
                text.expect(":")
                if text.take("["):
                    yield from _array(text, str(key))
                else:
                    text.value()
                if not text.take(","):
                    text.expect("}")
                    break
        else:
            text.fail("an array or an object is expected")


def read_table(path: Path) -> Iterator[Tuple[int, List[str]]]:
    """(line number, fields) of the rows of a CSV or TSV file, the header first. A row that cannot be split comes as an
    empty list. Bytes that are not UTF-8 come as surrogates, which `text_of` of the encoded field refuses."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        head = file.readline(1 << 16)
        file.seek(0)
        delimiter = max("\t,;", key=head.count)
        rows = csv.reader(file, delimiter=delimiter)
        while True:
            line = rows.line_num + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error:
                yield line, []
                continue
            if any(field.strip() for field in row):
                yield line, row


def _array(text: "_Text", key: str) -> Iterator[Tuple[str, int, Any]]:
    number = 0
    if text.take("]"):
        return
    while True:
        number += 1
        yield key, number, text.value()
        if not text.take(","):
            text.expect("]")
            return


class _Text:
    """A JSON file read forwards through a window."""

    def __init__(self, path: Path, file):
        self._path, self._file = path, file
        self._text, self._position, self._before = "", 0, 0

    def take(self, character: str) -> bool:
        """Step over blanks and, if it comes next, the character."""
        while True:
            while self._position < len(self._text) and self._text[self._position] in " \t\r\n":
                self._position += 1
            if self._position < len(self._text):
                if self._text[self._position] == character:
                    self._position += 1
                    return True
                return False
            if not self._more(_CHUNK):
                return False

    def expect(self, character: str) -> None:
        if not self.take(character):
            self.fail(f"'{character}' is expected")

    def value(self) -> Any:
        self.take("")  # blanks
        chunk = _CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._position)
                if end < len(self._text) or not self._more(chunk):  # a number may go on beyond the window
                    self._position = end
                    return value
            except (ValueError, RecursionError) as error:
                if len(self._text) - self._position > MAX_ELEMENT or not self._more(chunk):
                    self.fail(getattr(error, "msg", "") or str(error) or "nested too deeply")
            chunk *= 2

    def fail(self, reason: str) -> None:
        raise BrokenDataError(f"{self._path}: is not JSON from character {self._before + self._position} on ({reason})")

    def _more(self, count: int) -> bool:
        try:
            more = self._file.read(count)
        except UnicodeDecodeError as error:
            raise BrokenDataError(f"{self._path}: is not UTF-8 text ({error.reason})") from error
        if not more:
            return False
        self._before += self._position
        self._text, self._position = self._text[self._position :] + more, 0
        return True


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
