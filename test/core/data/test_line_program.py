"""A program that answers lines: what it said counts, whether it still listens or not."""

import sys

import pytest

from clue_ros.data.line_program import LineProgram
from clue_ros.types import ClueError

CLOSED = "import os; os.close(0); "  # before its first line: what is asked after that line breaks the pipe


@pytest.mark.parametrize("second", ["print('{\"b\": 2}')", ""])
def test_a_program_that_no_longer_listens(second):
    program = LineProgram("judge command", [sys.executable, "-c", f"{CLOSED}print('{{}}', flush=True); {second}"], 30.0)
    try:
        assert program.ask({}) == {}
        if second:
            assert program.ask({}) == {"b": 2}
        with pytest.raises(ClueError, match="ended: exit status 0"):
            program.ask({})
    finally:
        program.close()
