"""What the tests of the console's page share: one Chromium, its pages, a scripted console, a goal and a state of
health.
"""

from __future__ import annotations

import pytest
from browser import chrome, pages  # noqa: F401
from scripted_console import ScriptedConsole

GOAL = {
    "id": "a" * 32,
    "expression": "the red mug",
    "state": "WAITING_FOR_ANSWER",
    "error": "",
    "elapsed_s": 3.2,
    "can_cancel": True,
}
HEALTH = [
    {"name": "clue: camera", "level": "ok", "message": "10 Hz", "values": [["age_s", "0.1"]]},
    {"name": "clue: goals", "level": "error", "message": "last: MODEL_ERROR", "values": [["active", "1"]]},
]


@pytest.fixture
def console():
    console = ScriptedConsole()
    console.pictures()
    yield console
    console.close()


def question_shown(page):
    page.wait_for_selector(".turn.question")
    page.wait_for_selector("#canvas[data-frame='1']")
