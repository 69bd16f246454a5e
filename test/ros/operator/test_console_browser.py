"""The whole console as its user has it: Chromium, the console's node and server, the grounding node, real DDS.

The grounding node has a scripted Grounder, except in the last test, which has the embedded model.
CLUE_SHOTS=folder keeps that test's screenshots.
"""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from bench import FRAME, Bench, Spinner, wait_until
from browser import Pages, browser, overlaps, settled
from rclpy.parameter import Parameter
from std_msgs.msg import Header

from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.testing.fake_grounder import Say
from clue_ros.types import Box

pytest.importorskip("uvicorn", reason="the console's server is not installed: make setup")

MUG, OTHER = Box(100, 60, 180, 160), Box(200, 60, 260, 140)
WIDTH, HEIGHT = 320, 240
SLOW = 120_000  # milliseconds, for what goes over DDS on a loaded machine
SCRIPT = {
    "the mug": [
        Say.ask("Which mug, the red one or the blue one?", probability=0.9),
        Say.found(MUG, probability=0.1),
        Say.found(OTHER),
    ],
    "the slow one": [Say.found(MUG, delay_s=600.0)],
}


@pytest.fixture(scope="module")
def chrome():
    with browser() as chrome:
        yield chrome


class System:
    """Grounding node with a camera, console node, browser pages, in one DDS domain."""

    def __init__(self, chrome, **bench) -> None:
        from clue_ros.ros.console import Console

        self.benches = []
        self.new_node(**bench)
        self.console = Console(parameter_overrides=[Parameter("port", value=0)])
        self._spinner = Spinner(self.console)
        self.console.start()
        self.pages = Pages(chrome)

    def new_node(self, script=None, **options) -> Bench:
        bench = Bench(script or SCRIPT, camera=False, still=True, **options)
        self.benches.append(bench)
        bench.start_camera(rgb_to_image(np.full((HEIGHT, WIDTH, 3), 90, np.uint8), Header(frame_id=FRAME)))
        return bench

    def open(self, width=1280, height=860, **options):
        """A page that shows a live image of an active node."""
        page = self.pages.open(self.console.url, width, height, **options)
        page.wait_for_selector("#badge[data-kind=live]", timeout=SLOW)
        page.locator("#pills").get_by_text("active").wait_for(timeout=SLOW)
        return page

    def close(self) -> None:
        self.pages.close()
        self.console.close()
        self._spinner.close()
        self.console.destroy_node()
        for bench in self.benches:
            bench.close()


@pytest.fixture
def make_system(domain, chrome):
    systems = []

    def make(**options) -> System:
        systems.append(System(chrome, **options))
        return systems[-1]

    yield make
    for system in systems:
        system.close()
    assert not [error for system in systems for error in system.pages.errors]


def instruct(page, words):
    page.get_by_label("Your instruction").fill(words)
    page.keyboard.press("Enter")


def click_image(page, x, y, width=WIDTH, height=HEIGHT):
    """A click on a pixel of the image."""
    box = page.locator("#canvas").bounding_box()
    page.mouse.click(box["x"] + x / width * box["width"], box["y"] + y / height * box["height"])


def test_instruct_question_click_box_seen_by_two_viewers(make_system):
    system = make_system()
    page, other = system.open(), system.open(390, 844)
    instruct(page, "the mug")
    for viewer in (page, other):
        viewer.locator(".turn.question").get_by_text("Which mug").wait_for(timeout=SLOW)
        viewer.wait_for_selector("#badge[data-kind=frozen]")
        assert viewer.get_by_role("meter").get_attribute("aria-valuenow") == "0.900"
    assert page.locator("#choices").get_by_text("the blue one").is_visible()
    assert not overlaps(other)
    click_image(other, *MUG.center)  # the second viewer answers
    for viewer in (page, other):
        viewer.locator(".outcome.good").wait_for(timeout=SLOW)
        assert "box 100, 60, 80 × 100 px" in viewer.locator(".outcome").inner_text()
        viewer.locator(".goal .state[data-kind=good]").wait_for(timeout=SLOW)
        settled(viewer)
    page.locator(".step").nth(1).wait_for(timeout=SLOW)
    assert system.benches[0].grounder.calls[-1][1], "the click came as an answer"
    # The target's green on the canvas, at the lower edge of the box.
    color = page.evaluate(
        """([x, y]) => { const c = document.getElementById('canvas');
      const place = [Math.round(x / 320 * c.width), Math.round(y / 240 * c.height)];
      return [...c.getContext('2d').getImageData(...place, 1, 1).data]; }""",
        [140, 160],
    )
    assert np.abs(np.subtract(color[:3], (38, 222, 148))).max() < 60, color
    assert page.locator(".step").count() == 2 and not overlaps(other)
    # It was the other one.
    page.get_by_label("Your instruction").fill("no, the blue one")
    page.get_by_role("button", name="Correct").click()
    page.locator(".outcome.good").get_by_text("box 200, 60, 60 × 80 px").wait_for(timeout=SLOW)
    answer = urllib.request.urlopen(f"{system.console.url}export", timeout=120)
    assert b"Which mug" in answer.read()


def test_cancel_from_the_list_of_goals(make_system):
    system = make_system()
    page = system.open()
    instruct(page, "the slow one")
    page.get_by_role("button", name="Cancel the goal “the slow one”").click(timeout=SLOW)
    page.locator(".goal .state[data-kind=quiet]").get_by_text("canceled").wait_for(timeout=SLOW)
    # The page is ready for the next instruction, and never mind ends one that waits for an answer. The goal's state may
    # come a moment before the dialogue's end, and until then the input waits.
    page.get_by_placeholder("For instance").wait_for(timeout=SLOW)
    instruct(page, "the mug")
    page.locator(".turn.question").wait_for(timeout=SLOW)
    page.get_by_role("button", name="Never mind").click()
    page.locator(".turn.question").wait_for(state="detached", timeout=SLOW)
    wait_until(lambda: not system.console.state.running)


def test_the_node_dies_and_comes_back(make_system):
    system = make_system()
    page = system.open()
    instruct(page, "the slow one")
    page.get_by_role("button", name="Cancel the goal").wait_for(timeout=SLOW)
    system.benches.pop().close()
    banner = page.get_by_role("alert")
    banner.get_by_text("The clue node is away.").wait_for(timeout=SLOW)
    banner.get_by_text("Start it").wait_for(timeout=SLOW)  # what to do
    instruct(page, "the mug")
    page.locator("#notes .note").first.wait_for(timeout=SLOW)  # refused, with the reason
    system.new_node()
    page.locator("#pills").get_by_text("active").wait_for(timeout=SLOW)
    wait_until(lambda: banner.count() == 0)
    instruct(page, "the mug")
    page.locator(".turn.question").wait_for(timeout=SLOW)


def test_replay_of_the_example_bag(chrome):
    """The console's server without a robot; the bag is played to a scripted model."""
    import clue_ros
    from clue_ros.console.pictures import Pictures
    from clue_ros.console.recordings import open_recording
    from clue_ros.console.server import ConsoleServer, Settings
    from clue_ros.console.state import ConsoleState
    from clue_ros.testing.fake_grounder import ScriptedGrounder

    bag = Path(clue_ros.__file__).parent / "examples" / "tabletop.mcap"
    words = ScriptedGrounder()
    open_recording(bag, lambda: words).close()  # to learn the bag's first instruction
    first = words.calls[0][0]
    recording = open_recording(
        bag, lambda: ScriptedGrounder({first: [Say.ask("Do you mean the red one or the blue one?"), Say.found(MUG)]})
    )
    pictures, pages = Pictures(), Pages(chrome)
    server = ConsoleServer(ConsoleState(), pictures, None, Settings(port=0), {"r1": recording})
    server.start()
    try:
        page = pages.open(server.url)
        page.get_by_role("alert").get_by_text("The clue node is away.").wait_for()
        page.get_by_role("tab", name="Replay").click()
        page.get_by_role("button", name="Open").click()
        page.locator("#episode-place").get_by_text("1 of").wait_for()
        page.locator(".turn.person").get_by_text(first, exact=True).first.wait_for()
        page.get_by_role("button", name="Next step").click()
        page.locator(".turn.question").wait_for()
        page.wait_for_selector("#canvas[data-frame]:not(.blank)")
        assert page.locator("#badge").inner_text() == "Replay" and page.locator(".step canvas").count() == 1
        here = page.locator("#canvas").get_attribute("data-frame")
        page.get_by_role("button", name="Next episode").click()
        page.locator("#episode-place").get_by_text("2 of").wait_for()
        page.wait_for_function("before => document.getElementById('canvas').dataset.frame !== before", arg=here)
        page.get_by_role("button", name="Back to live").click()
        page.wait_for_selector("#badge[data-kind=none]")
        assert not pages.errors
    finally:
        pages.close()
        server.stop()
        pictures.close()
        recording.close()


def test_with_the_embedded_model_on_a_rendered_table(make_system):
    import clue_ros
    from clue_ros.ros.demonstration.scripted_scene import Stage
    from clue_ros.ros.running.loading import load_grounder
    from clue_ros.types import ClueError

    if not any((Path(clue_ros.__file__).parent / "models" / "tabletop").glob("*.safetensors")):
        pytest.skip("the embedded model is not here")
    stage = Stage(0)
    try:
        episode, view = stage.render(1)  # two things of a kind, of different colours
    except ClueError as error:
        pytest.skip(str(error))
    finally:
        stage.close()
    system = make_system(factory=load_grounder, target_mask=True)
    system.benches[0].image = rgb_to_image(view.rgb, Header(frame_id=FRAME))
    height, width = view.rgb.shape[:2]
    shots = {
        "light": system.open(1360, 900),
        "dark": system.open(1360, 900, color_scheme="dark"),
        "phone": system.open(390, 844, device_scale_factor=2, has_touch=True, is_mobile=True),
    }
    page = shots["light"]
    wait_until(lambda: page.locator("#canvas").get_attribute("aria-label").endswith(f"{width} by {height} pixels"))
    instruct(page, episode.expression)
    page.locator(".turn.question").wait_for(timeout=SLOW)
    shoot(shots, "question")
    target = view.objects[episode.target_index].box
    click_image(page, *target.center, width, height)
    page.locator(".outcome.good").wait_for(timeout=SLOW)
    target_of = lambda: system.console.state.snapshot()["dialogue"]["target"]  # noqa: E731
    wait_until(lambda: target_of()["mask"] is not None, what="the mask: the goal's result has none, the topic has")
    found = target_of()
    x, y = target.center
    assert found["x"] <= x <= found["x"] + found["width"] and found["y"] <= y <= found["y"] + found["height"]
    for reader in shots.values():
        reader.locator(".outcome.good").wait_for(timeout=SLOW)
        reader.locator(".step").nth(1).wait_for(timeout=SLOW)
        assert reader.locator(".step").count() == 2
        settled(reader)
        assert not overlaps(reader)
    shoot(shots, "found")


def shoot(pages, moment) -> None:
    """Screenshots for the documentation, where CLUE_SHOTS names a folder."""
    folder = os.environ.get("CLUE_SHOTS")
    for name, page in pages.items() if folder else ():
        page.locator(".step canvas").first.wait_for(timeout=SLOW)
        settled(page)
        page.screenshot(path=Path(folder, f"{moment}_{name}.png"), full_page=True)
