"""A local program that stays up for a whole run: one line of JSON in, one line of JSON out, never through a shell."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
from typing import IO, Any, Dict, Mapping, Sequence, cast

from clue_ros.data.textfiles import json_object
from clue_ros.types import ClueError

TIMEOUT_S = 60.0


class LineProgram:
    """`ask` writes an object to the program's stdin as a line and reads its answer from stdout."""

    def __init__(self, name: str, arguments: Sequence[str], timeout_s: float = TIMEOUT_S):
        """name: in errors, such as 'paraphrase command'. Raises ClueError if it cannot be started."""
        self._arguments, self._timeout_s = list(arguments), timeout_s
        if not self._arguments:
            raise ClueError(f"the {name} is empty: give a program and its arguments")
        self._name = f"the {name} {self._arguments[0]!r}"
        try:
            self._process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                shell=False,
            )
        except (OSError, ValueError) as error:
            raise ClueError(f"{self._name} cannot be started: {error}") from error
        # Both are pipes, as they were ordered.
        self._stdin, self._stdout = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        self._lines: "queue.Queue[str]" = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, request: Mapping[str, Any]) -> Dict[str, Any]:
        """Raises ClueError if the program ends or is silent for `timeout_s`, ValueError for a line that is no JSON
        object."""
        with contextlib.suppress(OSError):  # it has ended: what it said before, if anything, waits to be read
            self._stdin.write(json.dumps(request) + "\n")
            self._stdin.flush()
        try:
            line = self._lines.get(timeout=self._timeout_s)
        except queue.Empty as error:
            raise ClueError(f"{self._name} gave no line within {self._timeout_s:g} s") from error
        if not line:
            raise ClueError(f"{self._name} ended: exit status {self._process.wait(5)}")
        return json_object(line.encode("utf-8"))

    def close(self) -> None:
        """Ends the program: its stdin is closed, and after two seconds it is killed."""
        try:
            self._stdin.close()
            self._process.wait(2.0)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._stdout.close()

    def _read(self) -> None:
        try:
            for line in self._stdout:
                self._lines.put(line)
        except ValueError:  # closed
            pass
        self._lines.put("")
