"""A thing shown in the console: Chromium, the console's node and server, a grounding node with eyes for colours, DDS.

CLUE_SHOTS=folder keeps the screenshot.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bench import FRAME, wait_until
from coloured_sight import BLUE, RED, ColourSight, CupBackbone, drawn
from std_msgs.msg import Header
from test_console_browser import SLOW, System, chrome  # noqa: F401

from clue_ros.ros.operator import gallery
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.stock.grounder import StockGrounder
from clue_ros.taught.grounder import TaughtGrounder


@pytest.fixture
def system(chrome, domain, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(gallery, "LOOK_S", 0.3)
    system = System(
        chrome, factory=lambda _: TaughtGrounder.around(StockGrounder(CupBackbone(ColourSight())), tmp_path / "taught")
    )
    scene = drawn((RED, 60, 60, 100, 120), (BLUE, 200, 60, 260, 140))
    system.benches[0].image = rgb_to_image(scene, Header(frame_id=FRAME))
    yield system
    system.close()
    assert not system.pages.errors, system.pages.errors


def drag(page, x0, y0, x1, y1):
    area = page.locator("#canvas").bounding_box()
    corners = ((x0, y0), (x1, y1))
    places = [(area["x"] + x / 320 * area["width"], area["y"] + y / 240 * area["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=4)
    page.mouse.up()


def test_a_box_a_name_the_gallery_an_instruction_and_forget(system):
    page, (bench,) = system.open(), system.benches
    wait_until(lambda: system.console.state.taught == [], what="the console knows that things can be taught")
    bench.sees(2)
    drag(page, 56, 56, 104, 124)
    name = page.get_by_label("Name")
    wait_until(lambda: page.evaluate("document.activeElement.id") == "taught-name")
    name.fill("my thermos")
    page.keyboard.press("Enter")
    page.locator(".gallery li").get_by_text("my thermos").wait_for(timeout=SLOW)
    assert page.evaluate("document.querySelector('.gallery img').naturalWidth") == 96
    page.get_by_text("The robot knows “my thermos” now.").wait_for()
    if os.environ.get("CLUE_SHOTS"):
        page.screenshot(path=str(Path(os.environ["CLUE_SHOTS"]) / "console_taught.png"))
    page.get_by_label("Your instruction").fill("hand me my thermos")
    page.keyboard.press("Enter")
    page.wait_for_selector(".outcome.good", timeout=SLOW)
    page.get_by_label("Your instruction").fill("what do you know?")  # no goal, but a lesson by voice
    page.keyboard.press("Enter")
    bench.hear("You showed me your thermos.")
    page.get_by_role("button", name="Forget “my thermos”").click()
    wait_until(lambda: page.locator(".gallery li").count() == 0)
