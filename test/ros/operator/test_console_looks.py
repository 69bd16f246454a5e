"""How the console's page looks and how it is reached: no overlap, contrast, colours, keys, names, nothing from
elsewhere.
"""

from __future__ import annotations

from bench import wait_until
from browser import contrasts, overlaps, settled
from page_fixtures import GOAL, HEALTH, chrome, console, pages, question_shown  # noqa: F401
from scripted_console import QUIET, asking, found

LONG = "the " + "very" * 30 + " long word"
FULL = {
    "goals": [
        {**GOAL, "expression": LONG},
        {**GOAL, "id": "b", "state": "ABORTED", "error": "MODEL_ERROR 7010: " + "x" * 90, "can_cancel": False},
    ],
    "health": HEALTH,
    "history": [{"id": "x", "expression": LONG, "outcome": "FOUND"}],
    "connection": {**QUIET["connection"], "camera": "stale", "camera_age_s": 9.0},
}
MOMENTS = {
    "question": asking(chips=["the left one", LONG]),
    "found": found(),
    "failed": asking(open=False, question=None, chips=[], error={"code": 7005, "name": "NOT_FOUND", "text": LONG}),
}
SHOWS = {"question": ".chip", "found": ".outcome.good", "failed": ".outcome.bad"}


def test_nothing_overlaps_from_phone_to_desktop(console, pages):
    console.say(**FULL)
    page = pages.open(console.address)
    for moment, dialogue in MOMENTS.items():
        console.say(dialogue=dialogue)
        page.wait_for_selector(SHOWS[moment])
        for width, height in ((390, 844), (820, 1100), (1366, 768)):
            page.set_viewport_size({"width": width, "height": height})
            settled(page)
            assert not overlaps(page), (width, moment)
            for tab in ("Health", "Replay", "Goals") if moment == "found" else ():
                page.get_by_role("tab", name=tab).click()
                assert not overlaps(page), (width, tab)


def test_everything_can_be_read_in_light_and_dark(console, pages):
    console.say(**FULL)
    page = pages.open(console.address)
    for moment, dialogue in MOMENTS.items():
        console.say(dialogue=dialogue)
        page.wait_for_selector(SHOWS[moment])
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            settled(page)
            texts = contrasts(page)
            assert len(texts) > 30
            assert not [text for text in texts if text["ratio"] < 4.5 and not text["disabled"]], (scheme, moment)


def test_the_colours_can_be_chosen_and_are_kept(console, pages):
    page = pages.open(console.address, color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Colours: as the system").click()
    page.get_by_role("button", name="Colours: light").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    page.get_by_role("button", name="Colours: dark").wait_for()
    assert page.evaluate(ground) == dark


def test_keys_reach_everything_and_everything_has_a_name(console, pages):
    console.say(dialogue=asking(), goals=[GOAL], health=HEALTH)
    page = pages.open(console.address)
    question_shown(page)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "say"
    reached = set()
    page.evaluate("document.activeElement.blur()")
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    for wanted in (
        "Skip to the conversation",
        "export",
        "theme",
        "show-live",
        "canvas",
        "opacity",
        "the left one",
        "A",
        "say",
        "send",
        "never-mind",
        "tab-goals",
        "Cancel",
    ):
        assert wanted in reached, (wanted, reached)
    page.get_by_role("tab", name="Goals").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_role("tab", name="Health", selected=True).wait_for()
    assert page.get_by_text("last: MODEL_ERROR").is_visible()
    tree = page.locator("body").aria_snapshot()
    nameless = [
        line
        for line in tree.splitlines()
        if line.strip().lstrip("- ") in ("button", "button:", "textbox", "slider", "checkbox", "combobox", "link")
    ]
    assert not nameless, tree


def test_nothing_is_fetched_from_elsewhere(console, pages):
    page = pages.open("about:blank")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.goto(console.address)
    wait_until(lambda: console.viewers == 1)
    assert len(asked) > 15 and all(f"//127.0.0.1:{console.port}/" in url for url in asked), asked
