"""The two pages of `clue data pairs` in a real Chromium: what each shows, from an instruction to the click."""

import json

import pytest
from browser import chrome, overlaps, pages  # noqa: F401
from drawn_data import draw, write_lines

from clue_ros.console.pair_chat import ORACLE, QUESTIONER, PairChat
from clue_ros.console.pair_server import PairServer
from clue_ros.console.server import Settings
from clue_ros.data.pictures import open_pictures

GREEN = (
    "([x, y]) => { const [r, g, b] = document.getElementById('canvas').getContext('2d').getImageData(x, y, 1, 1).data; "
    "return g > 150 && r < 110 && b < 180; }"
)


@pytest.fixture
def server(tmp_path):
    things = [{"box": box, "name": "mug"} for box in ([40, 40, 120, 120], [200, 60, 280, 160])]
    draw(tmp_path / "0.jpg", 3, 320, 240)
    lines = write_lines(tmp_path / "boxes.jsonl", [{"image": "0.jpg", "instances": things}])
    server = PairServer(PairChat(open_pictures(lines), tmp_path / "out.jsonl"), Settings(port=0))
    server.start()
    yield server, tmp_path / "out.jsonl"
    server.stop()


def say(page, text):
    page.wait_for_selector("#say:not([disabled])")
    page.fill("#say", text)
    page.keyboard.press("Enter")


def test_from_an_instruction_to_the_click(server, pages):  # noqa: F811
    served, output = server
    oracle = pages.open(served.urls[ORACLE])
    asker = pages.open(served.urls[QUESTIONER], width=420)
    say(oracle, "the mug")
    say(asker, "which mug?")
    say(oracle, "this <img src=x onerror='document.title=666'> one")
    for page in (oracle, asker):
        page.locator(".turn").nth(2).wait_for()
    asker.wait_for_selector("#say:not([disabled])")
    asker.wait_for_selector("#canvas:not(.blank)")
    marked = [box for box in ((40, 40), (200, 60)) if oracle.evaluate(GREEN, box)]
    assert len(marked) == 1 and not any(asker.evaluate(GREEN, box) for box in ((40, 40), (200, 60)))
    for page in (oracle, asker):
        assert not overlaps(page)
    place = asker.locator("#canvas").bounding_box()
    at = [(corner + 40) / side for corner, side in zip(marked[0], (320, 240))]
    asker.mouse.click(place["x"] + at[0] * place["width"], place["y"] + at[1] * place["height"])
    for page in (oracle, asker):
        page.wait_for_selector("#next:not([hidden])")
        assert "Right" in page.locator("#move").inner_text() and page.evaluate(GREEN, marked[0])
        assert page.title() != "666"
    (line,) = map(json.loads, output.read_text(encoding="utf-8").splitlines())
    assert line["boxes"][0][:2] == list(marked[0]) and line["turns"][0]["question"] == "which mug?"
    asker.click("#next")
    oracle.get_by_text("There are no more pictures").wait_for()
