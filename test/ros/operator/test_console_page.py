"""The console's page in a real Chromium, against a server that the test plays (scripted_console.py)."""

from __future__ import annotations

import numpy as np
from bench import wait_until
from browser import settled
from page_fixtures import GOAL, chrome, console, pages, question_shown  # noqa: F401
from scripted_console import HELLO, MUGS, QUIET, ScriptedConsole, asking, found, mug_box, scene, turn

HOSTILE = "<img src=x onerror='document.title=666'><script>document.title=666</script>&amp;"


def place_of(page, x, y):
    """The place on the screen of a pixel of the image."""
    box = page.locator("#canvas").bounding_box()
    return box["x"] + x / 640 * box["width"], box["y"] + y / 480 * box["height"]


def pixel(page, x, y) -> np.ndarray:
    """RGB of the canvas at a pixel of the image, as drawn last."""
    settled(page)
    place = (
        "([x, y]) => { const c = document.getElementById('canvas'); return [...c.getContext('2d').getImageData("
        "Math.round(x / 640 * c.width), Math.round(y / 480 * c.height), 1, 1).data].slice(0, 3); }"
    )
    return np.array(page.evaluate(place, [x, y]), float)


def near(click, mug) -> bool:
    return bool(np.abs(np.subtract(click, MUGS[mug])).max() < 2)


def test_from_an_instruction_over_a_click_to_the_box(console, pages):
    page = pages.open(console.address)
    page.get_by_label("Your instruction").fill("the red mug")
    page.keyboard.press("Enter")
    assert console.wait_for("instruct") == {"type": "instruct", "text": "the red mug"}
    console.say(dialogue=asking())
    question_shown(page)
    assert page.locator("#badge").inner_text() == "Frozen for the dialogue"
    assert page.get_by_role("meter").get_attribute("aria-valuenow") == "0.870"
    assert "asks" in page.locator(".gauge .words").inner_text()
    assert page.locator(".step").count() == 1

    page.mouse.click(*place_of(page, *MUGS[2]))
    assert near(console.wait_for("answer")["click"], 2)

    answered = found()
    answered["turns"][2]["text"] = "(click 150 250)"
    console.say(dialogue=answered)
    page.wait_for_selector(".outcome.good")
    assert page.locator(".turn.person .words").nth(1).inner_text() == "Clicked at 150, 250"
    assert "after a click at 150, 250" in page.locator(".step").nth(1).inner_text()
    assert "the red mug on the left" in page.locator(".outcome").inner_text()
    assert "0.120, -0.040, 0.610 m in camera_color_optical_frame" in page.locator(".outcome").inner_text()
    assert page.locator(".step").count() == 2 and "−79 points" in page.locator(".step").nth(1).inner_text()
    assert page.get_by_role("meter").get_attribute("aria-valuenow") == "0.080"
    # The box is on the canvas: its lower edge is the target's green.
    box = mug_box(0)
    edge = pixel(page, box["x"] + 20, box["y"] + box["height"])
    assert np.abs(edge - (38, 222, 148)).max() < 60, edge
    # Taken back by words and by a click on the image of the dialogue.
    page.get_by_role("button", name="Not that one").click()
    assert console.wait_for("answer") == {"type": "answer", "text": "not that one"}
    page.get_by_label("Your instruction").fill("the right one instead")
    page.get_by_role("button", name="Correct").click()
    assert console.wait_for("answer") == {"type": "answer", "text": "the right one instead"}
    page.mouse.click(*place_of(page, *MUGS[2]))
    assert near(console.wait_for("answer")["click"], 2)
    # Its first step again, from the Why panel: two regions, no target.
    page.locator(".step button").first.click()
    assert np.abs(pixel(page, box["x"] + 20, box["y"] + box["height"]) - (38, 222, 148)).max() > 60
    assert page.get_by_role("meter").get_attribute("aria-valuenow") == "0.870"


def test_answers_by_box_chip_region_and_keys(console, pages):
    console.say(dialogue=asking())
    page = pages.open(console.address)
    question_shown(page)
    page.mouse.move(*place_of(page, 100, 200))
    page.mouse.down()
    page.mouse.move(*place_of(page, 150, 250), steps=3)
    page.mouse.move(*place_of(page, 200, 300), steps=3)
    page.mouse.up()
    assert np.abs(np.subtract(console.wait_for("answer")["box"], (100, 200, 100, 100))).max() < 3

    page.get_by_role("button", name="the right one").focus()
    page.keyboard.press("Enter")
    assert console.wait_for("answer") == {"type": "answer", "text": "the right one"}
    page.get_by_role("button", name="Region B").click()
    assert near(console.wait_for("answer")["click"], 2)

    page.locator("#canvas").focus()
    for key in ("ArrowLeft", "Shift+ArrowLeft", "Enter"):  # the first only shows the cross, in the middle
        page.keyboard.press(key)
    assert console.wait_for("answer")["click"] == [240, 240]
    for key in ("ArrowLeft", "b", "Shift+ArrowRight", "Shift+ArrowDown", "Enter"):
        page.keyboard.press(key)
    assert console.wait_for("answer")["box"] == [230, 240, 80, 80]  # from where the cross was left


def test_without_a_question_a_click_points_and_a_box_is_refused(console, pages):
    page = pages.open(console.address)
    page.wait_for_selector("#badge[data-kind=live]")
    console.frame(901, scene(), live=True)
    page.wait_for_selector("#canvas[data-frame='901']")
    page.mouse.click(*place_of(page, *MUGS[1]))
    assert near(console.wait_for("point")["click"], 1)
    page.mouse.move(*place_of(page, 100, 200))
    page.mouse.down()
    page.mouse.move(*place_of(page, 200, 300), steps=3)
    page.mouse.up()
    page.get_by_text("A box answers a question").wait_for()
    assert not [message for message in console.heard if message["type"] == "answer"]


def test_never_mind_and_cancel(console, pages):
    console.say(dialogue=asking(), goals=[GOAL])
    page = pages.open(console.address)
    page.get_by_role("button", name="Never mind").click()
    console.wait_for("never_mind")
    page.get_by_role("button", name="Cancel the goal “the red mug”").click()
    assert console.wait_for("cancel")["goal"] == GOAL["id"]
    console.say(
        goals=[{**GOAL, "state": "CANCELED", "can_cancel": False}],
        history=[{"id": "d1", "expression": "the red mug", "outcome": "CANCELED"}],
    )
    page.locator(".state[data-kind=quiet]").wait_for()
    assert page.get_by_role("button", name="Cancel the goal").count() == 0
    console.note("no goal of this name is running")
    page.locator("#notes").get_by_text("no goal of this name is running").wait_for()


def test_layers_are_switched_and_the_map_fades(console, pages):
    console.say(dialogue=asking())
    page = pages.open(console.address)
    question_shown(page)
    plain = np.array([170, 160, 150.0])  # the table, beside a mug, where the map glows
    beside = (MUGS[0][0] + 60, MUGS[0][1])
    wait_until(lambda: np.abs(pixel(page, *beside) - plain).max() > 15, what="the map is drawn")
    full = np.abs(pixel(page, *beside) - plain).max()
    page.get_by_label("Opacity").fill("20")
    assert np.abs(pixel(page, *beside) - plain).max() < full
    page.get_by_label("Attention").uncheck()
    assert np.abs(pixel(page, *beside) - plain).max() < 6
    box = mug_box(2)
    corner = (box["x"], box["y"] + box["height"])
    assert np.abs(pixel(page, *corner) - plain).max() > 60
    page.get_by_label("Regions").uncheck()
    assert np.abs(pixel(page, *corner) - plain).max() < 6


def test_every_live_image_is_acknowledged_once_and_the_dialogue_stays_frozen(console, pages):
    page = pages.open(console.address)
    assert console.wait_for("seen")["frame"] == 900
    for number in (902, 903):
        console.frame(number, scene(), live=True)
        assert console.wait_for("seen") == {"type": "seen", "frame": number}
        page.wait_for_selector(f"#canvas[data-frame='{number}']")
    console.say(dialogue=asking())
    question_shown(page)
    console.frame(904, scene(), live=True)
    console.wait_for("seen")
    settled(page)
    assert page.locator("#canvas").get_attribute("data-frame") == "1"
    page.get_by_role("button", name="Live").click()  # a look at what is there now
    page.wait_for_selector("#canvas[data-frame='904']")
    page.mouse.click(*place_of(page, *MUGS[1]))  # no answer: the question is about another image
    page.get_by_text("The question is about the dialogue's image").wait_for()
    assert not [message for message in console.heard if message["type"] in ("answer", "point")]


def test_a_dialogue_whose_image_never_came(console, pages):
    page = pages.open(console.address)
    dialogue = asking(frame=None)
    dialogue["readings"][0]["frame"] = None
    console.say(dialogue=dialogue)
    page.locator(".step canvas").wait_for()  # the map alone
    page.wait_for_selector("#badge[data-kind=live]")
    page.mouse.click(*place_of(page, *MUGS[1]))
    page.get_by_text("answer in words").wait_for()
    assert not [message for message in console.heard if message["type"] in ("answer", "point")]
    page.get_by_role("button", name="the left one").focus()
    page.keyboard.press("Enter")
    assert console.wait_for("answer")["text"] == "the left one"
    assert page.evaluate("document.activeElement.id") == "say"


def test_what_is_away_is_said_with_what_to_do(console, pages):
    page = pages.open(console.address)
    banner = page.get_by_role("alert")
    wait_until(lambda: console.viewers == 1)
    assert banner.count() == 0
    quiet = QUIET["connection"]
    for changes, what, advice in (
        ({"node": "asked", "advice": "/clue was asked"}, "The clue node has not answered yet.", "/clue was asked"),
        ({"node": "away"}, "The clue node is away.", "ros2 launch"),
        ({"node": "inactive"}, "The clue node is not active.", "activate"),
        (
            {"node": "unconfigured", "advice": "no model folder /m: set `model`"},
            "not configured.",
            "no model folder /m: set `model`",
        ),
        ({"camera": "stale", "camera_age_s": 8.0}, "The camera has stopped.", "cable"),
        ({"camera": "away", "camera_age_s": None}, "No camera.", "start the camera"),
    ):
        console.say(connection={**quiet, **changes})
        banner.get_by_text(what).wait_for()
        assert advice in banner.inner_text()
    console.say(connection=quiet)
    wait_until(lambda: banner.count() == 0)


def test_the_console_dies_and_comes_back(console, pages):
    console.say(dialogue=asking())
    page = pages.open(console.address)
    question_shown(page)
    page.get_by_label("Your answer").fill("the left")
    console.close()
    page.get_by_role("alert").get_by_text("The console does not answer").wait_for()
    assert page.get_by_role("button", name="Answer").is_disabled()
    again = ScriptedConsole(port=console.port)
    try:
        again.pictures()
        again.say(dialogue=asking())
        wait_until(lambda: page.get_by_role("alert").count() == 0)
        question_shown(page)
        # What was typed is still there.
        page.get_by_role("button", name="Answer").click()
        assert again.wait_for("answer")["text"] == "the left"
    finally:
        again.close()


def test_a_network_that_dies_silently_is_noticed(console, pages):
    page = pages.open("about:blank")
    page.clock.install()  # its time can be made to pass; the answers to its questions take their own
    page.goto(console.address)
    wait_until(lambda: console.viewers == 1)
    # Nothing to say is no death: the page asks and stays.
    page.clock.fast_forward(7000)
    wait_until(lambda: console.asked >= 1, what="the page asks whether anybody is there")
    assert page.get_by_role("alert").count() == 0 and console.viewers == 1
    console.answering.clear()
    page.clock.fast_forward(7000)
    page.get_by_role("alert").get_by_text("The console does not answer").wait_for(timeout=120_000)
    console.answering.set()
    wait_until(lambda: page.get_by_role("alert").count() == 0, what="connected again")


def test_a_console_that_only_shows(pages):
    console = ScriptedConsole(hello={**HELLO, "options": {**HELLO["options"], "can_instruct": False}})
    try:
        console.pictures()
        console.say(dialogue=asking(), goals=[GOAL])
        page = pages.open(console.address)
        question_shown(page)
        page.get_by_text("This page only shows").wait_for()
        assert page.get_by_role("button", name="Answer").is_disabled() and page.locator(".chip").count() == 0
        assert page.get_by_role("button", name="Never mind").is_disabled()
        assert page.get_by_role("button", name="Cancel the goal").count() == 0
        page.mouse.click(*place_of(page, *MUGS[0]))
        page.locator("#notes").get_by_text("This page only shows").wait_for()
        console.say(dialogue=found())
        page.locator(".outcome.good").wait_for()
        assert page.get_by_role("button", name="Not that one").count() == 0
        assert {message["type"] for message in console.heard} <= {"seen"}
    finally:
        console.close()


def test_a_wrong_token_is_named_and_the_right_one_is_used(pages):
    console = ScriptedConsole(token="0123456789abcdef")
    try:
        page = pages.open(console.address.split("?")[0])
        page.get_by_text("This console wants its access token.").wait_for()
        page = pages.open(console.address)
        wait_until(lambda: console.viewers == 1)
        assert page.locator("#export").get_attribute("href").endswith("/export?token=0123456789abcdef")
    finally:
        console.close()


def test_words_from_elsewhere_stay_words(console, pages):
    page = pages.open(console.address)
    before = page.evaluate("document.querySelectorAll('img, script').length")
    dialogue = asking(
        question=HOSTILE,
        chips=[HOSTILE],
        turns=[turn("person", HOSTILE), turn("robot", HOSTILE)],
        error={"code": 7005, "name": HOSTILE, "text": HOSTILE},
    )
    dialogue["readings"][0]["expression"] = HOSTILE
    console.say(
        dialogue=dialogue,
        goals=[{**GOAL, "expression": HOSTILE, "error": HOSTILE, "state": HOSTILE}],
        health=[{"name": HOSTILE, "level": HOSTILE, "message": HOSTILE, "values": [[HOSTILE, HOSTILE]]}],
        history=[{"id": HOSTILE, "expression": HOSTILE, "outcome": HOSTILE}],
        connection={**QUIET["connection"], "advice": HOSTILE, "model": HOSTILE},
    )
    wait_until(lambda: console.viewers == 1)  # a note is for who looks now
    console.note(HOSTILE)
    page.locator(".turn").get_by_text(HOSTILE).first.wait_for()
    page.locator("#notes").get_by_text(HOSTILE).wait_for()
    settled(page)
    assert page.evaluate("document.querySelectorAll('img, script').length") == before
    assert page.title() == "clue console"


def test_what_is_no_message_is_passed_over(console, pages):
    page = pages.open(console.address)
    wait_until(lambda: console.viewers == 1)
    for message in (
        "{",
        "[]",
        "null",
        '"text"',
        '{"type":"later"}',
        b"",
        b"\0\0",
        b"\xff\xff\xff\xff{}",
        b"\0\0\0\2{}",
        b'\0\0\0\x0f{"kind":"frame"}',
        b'\0\0\0\x44{"kind":"frame","id":1,"width":8,"height":8,"mime":"image/jpeg","live":true}no image',
    ):
        console.send(message)
    console.say(dialogue=asking())
    question_shown(page)
    # Numbers that were not finite come as null.
    holes = found()
    holes["readings"][1].update(
        probability=None,
        threshold=None,
        latency_s=None,
        regions=[{"x": None, "y": 1, "width": 2, "height": 3, "score": None}],
    )
    holes["target"].update(confidence=None, position=[None, 0.1, 0.2])
    console.say(dialogue=holes)
    page.locator(".outcome.good").wait_for()
    console.say(
        dialogue=asking(open=False, question=None, error={"code": None, "name": "NOT_FOUND", "text": "nothing fits"})
    )
    page.locator(".outcome.bad strong").get_by_text("NOT_FOUND", exact=True).wait_for()
    assert page.title() == "clue console"


def test_replay_steps_through_episodes(console, pages):
    page = pages.open(console.address)
    page.get_by_role("tab", name="Replay").click()
    page.get_by_role("button", name="Open").click()
    assert console.wait_for("replay") == {"type": "replay", "bag": 3, "episode": 0, "step": 0}
    at = {"bag": 3, "name": "tabletop.mcap", "episode": 0, "episodes": 2, "step": 0, "steps": 2, "title": "the red mug"}
    console.say(dialogue=asking(), replay=at)
    page.wait_for_selector("#badge[data-kind=replay]")
    assert page.get_by_role("button", name="Answer").count() == 0 and page.get_by_label("Your instruction").is_visible()
    assert page.get_by_role("button", name="Previous step").is_disabled()
    page.get_by_role("button", name="Next step").click()
    assert console.wait_for("replay") == {"type": "replay", "bag": 3, "episode": 0, "step": 1}
    console.say(dialogue=found(), replay={**at, "step": 1})
    page.locator("#step-place").get_by_text("2 of 2").wait_for()
    page.get_by_role("button", name="Next episode").click()
    assert console.wait_for("replay") == {"type": "replay", "bag": 3, "episode": 1, "step": 0}
    # A photograph that the run did not keep: not the robot's live image in its place.
    console.say(dialogue=asking(frame=None, readings=[]), replay={**at, "episode": 1})
    page.get_by_text("The recording has no image of this").wait_for()
    page.get_by_role("button", name="Back to live").click()
    console.wait_for("live")
    console.say(dialogue=QUIET["dialogue"], replay=None)
    page.wait_for_selector("#badge[data-kind=live]")
