"""Pictures: sizes, what is drawn where, text that is too long, images of every shape."""

import numpy as np
import pytest
from PIL import Image

from clue_ros.dialogue.steps import Utterance
from clue_ros.types import Ambiguity, Box, ClueError, Decision, InvalidImageError, Outcome, Region
from clue_ros.visualization import overlay, palette
from clue_ros.visualization.debug_image import draw_debug
from clue_ros.visualization.episode_animation import episode_frames, save_animation
from clue_ros.visualization.episode_picture import episode_picture
from clue_ros.visualization.lettering import fit, font, wrap
from clue_ros.visualization.overlay import overlay_attention

BOX = Box(10, 10, 40, 40)


def grey(height, width):
    return np.full((height, width, 3), 120, np.uint8)


def reading(probability=0.9, size=16):
    attention = np.zeros((size, size), np.float32)
    attention[2, 3] = 1.0
    return Ambiguity(probability, 0.5, probability >= 0.5, attention, (Region(BOX, (25.0, 25.0), 1.0),))


ASK = Decision(Outcome.ASK, "the mug", reading(), question="Which one?", candidates=(BOX,))
FOUND = Decision(Outcome.FOUND, "the mug", reading(0.1), BOX, 0.9)
UNKNOWN = Decision(Outcome.UNKNOWN_WORDS, "the gizmo", unknown_words=("gizmo",))
NOT_FOUND = Decision(Outcome.NOT_FOUND, "the pen", reading(0.1))
TALK = (Utterance("person", "the mug", 0.0), Utterance("robot", "Which one?", 1.0), Utterance("person", "red", 2.0))
SIZES = [(480, 640), (224, 224), (1080, 1920), (900, 120), (50, 900), (3, 5), (1, 1)]


def test_overlay_is_hot_where_the_attention_is():
    attention = np.zeros((4, 4), np.float32)
    attention[0, 3] = 1.0
    before = grey(80, 80)
    after = overlay_attention(before, attention)
    assert after.shape == before.shape and after.dtype == np.uint8
    assert (before == 120).all(), "the input must not change"
    change = np.abs(after.astype(int) - palette.COLOR_MAP[255].astype(int)).sum(axis=2)
    row, column = np.unravel_index(change.argmin(), change.shape)
    assert row < 20 and column >= 60


def test_overlay_without_a_map_or_with_nan():
    image = grey(10, 10)
    assert (overlay_attention(image, None) == image).all()
    assert overlay_attention(image, np.full((2, 2), np.nan)).shape == image.shape
    assert (overlay_attention(image, np.ones((2, 2)), opacity=0.0) == image).all()


@pytest.mark.parametrize(
    "bad",
    [np.zeros((0, 0, 3), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))],
)
def test_wrong_images_are_refused(bad):
    for draw in (lambda: draw_debug(bad), lambda: episode_picture(bad, [FOUND], TALK)):
        with pytest.raises(InvalidImageError, match="RGB"):
            draw()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("decision", [None, ASK, FOUND, UNKNOWN, NOT_FOUND])
def test_debug_image_keeps_its_size(size, decision):
    image = grey(*size)
    drawn = draw_debug(image, decision)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8 and drawn is not image
    assert (image == 120).all()


def test_debug_image_shows_the_box_and_a_bare_reading():
    drawn = draw_debug(grey(200, 200), FOUND)
    assert (drawn[10, 10:40] == palette.CLEAR).all(axis=1).any()
    assert (draw_debug(grey(200, 200), ambiguity=reading()) != 120).any()
    assert (draw_debug(grey(200, 200), caption="") == 120).all()


@pytest.mark.parametrize("size", SIZES)
def test_episode_picture_for_every_size(size):
    picture = episode_picture(grey(*size), [ASK, FOUND], TALK, BOX, "Episode 1", clicks=[(3, 4)])
    assert picture.shape[1] == 1280 and picture.dtype == np.uint8 and picture.shape[0] < 1400


@pytest.mark.parametrize("decisions", [[], [ASK], [FOUND], [UNKNOWN], [NOT_FOUND], [ASK, ASK, FOUND]])
def test_episode_picture_for_every_outcome(decisions):
    assert episode_picture(grey(120, 160), decisions, TALK, outcome="answer_timeout").shape[1] == 1280
    assert episode_picture(grey(120, 160), decisions, [("person", "x"), ("robot", "y")], BOX).ndim == 3


def test_very_long_and_odd_text_stays_on_the_page():
    odd = "long " * 3000 + "x" * 5000 + "\x00\n\udcff ä 🙂"
    decision = Decision(Outcome.FOUND, odd, reading(), BOX, 0.5)
    picture = episode_picture(grey(120, 160), [decision] * 30, [("robot", odd)] * 30, title=odd)
    assert picture.shape[0] < 3000
    assert draw_debug(grey(120, 160), decision).shape == (120, 160, 3)


def test_boxes_outside_the_image_are_clipped():
    wild = Decision(Outcome.FOUND, "x", reading(), Box(-50, -50, 5000, float("nan")), 0.5)
    assert draw_debug(grey(64, 64), wild).shape == (64, 64, 3)


def test_wrapping():
    face = font(20)
    lines = wrap("the quick brown fox jumps over the lazy dog " * 4, face, 200, max_lines=3)
    assert len(lines) == 3 and lines[-1].endswith("…")
    assert all(face.getlength(line) <= 200 for line in lines)
    assert all(face.getlength(line) <= 60 for line in wrap("x" * 100, face, 60, max_lines=50))
    assert "".join(wrap("x" * 100, face, 60, max_lines=50)) == "x" * 100
    assert wrap("", face, 100) == [] and wrap("one two", face, 500) == ["one two"]
    assert fit("short", face, 500) == "short" and fit("x" * 100, face, 100).endswith("…")


def test_dashed_box_marks_the_border_only():
    image = grey(60, 60)
    overlay.draw_dashed_box(image, Box(10, 10, 50, 50), palette.TRUTH, 1)
    assert (image[25:35, 25:35] == 120).all() and (image[10] != 120).any()


def test_an_episode_as_an_animation_starts_with_the_camera_and_ends_with_the_box(tmp_path):
    frames = episode_frames(grey(480, 640), (ASK, FOUND), (*TALK, Utterance("robot", "I see it.", 3.0)))
    assert {frame.rgb.shape for frame in frames} == {(480, 960, 3)}
    seen = [(np.abs(frame.rgb.astype(int) - palette.CLEAR).sum(axis=2) < 40).any() for frame in frames[:-1]]
    asked = [(np.abs(frame.rgb.astype(int) - palette.AMBIGUOUS).sum(axis=2) < 40).any() for frame in frames]
    assert not seen[0] and not asked[0], "first the camera alone"
    assert any(asked) and not asked[-1], "the gauge is over the threshold, and at the end it is not"
    save_animation(frames, tmp_path / "episode.webp")
    with Image.open(tmp_path / "episode.webp") as file:
        assert file.is_animated and file.n_frames >= 10 and file.size == (960, 480)
    with pytest.raises(ClueError, match="at least one frame"):
        save_animation([], tmp_path / "none.webp")
    with pytest.raises(ClueError, match="cannot write"):
        save_animation(frames, tmp_path / "no folder" / "x.webp")


@pytest.mark.parametrize(
    "decisions, transcript", [((), ()), ((None, FOUND), TALK), ((NOT_FOUND,), TALK[:1]), ((UNKNOWN,), TALK)]
)
def test_an_animation_of_every_kind_of_episode(decisions, transcript):
    assert len(episode_frames(grey(900, 120), decisions, transcript, clicks=[(5.0, 5.0)])) >= 2


def test_a_card_holds_panels_of_any_shape_and_what_was_said():
    from clue_ros.visualization.part_pictures import WIDTH, Panel, card, tinted, with_boxes

    rgb = np.full((48, 64, 3), 90, np.uint8)
    mask = np.zeros((48, 64), bool)
    mask[10:20, 10:30] = True
    shown = tinted(rgb, mask)
    assert (
        shown.shape == rgb.shape and shown[15, 20, 1] > shown[15, 20, 0] and shown[40, 40, 0] < 90 and (rgb == 90).all()
    )
    panels = [
        Panel("mask", shown, "200 pixels"),
        Panel("tall", np.full((90, 20, 3), 200, np.uint8)),
        Panel("boxes", with_boxes(rgb, target=Box(5, 5, 20, 20), candidates=[Box(30, 5, 50, 25)], labels=["42%"])),
    ]
    without = card("a title", panels)
    picture = card("a title", panels, [("person", "the mug"), ("robot", "which one?")])
    assert picture.dtype == np.uint8 and picture.shape[1:] == (WIDTH, 3) and picture.shape[0] > without.shape[0] > 200
    assert card("a title", panels * 2).shape[0] > without.shape[0], "more panels, more rows"
    with pytest.raises(InvalidImageError):
        card("a title", [Panel("none", np.zeros((0, 0, 3), np.uint8))])


def test_candidates_show_their_numbers_or_what_is_believed_of_them():
    from clue_ros.visualization.debug_image import candidate_labels

    two = (Box(20, 60, 60, 100), Box(100, 60, 140, 100))
    believed = Decision(Outcome.ASK, "the mug", reading(), question="Which one?", candidates=two, belief=(0.75, 0.25))
    numbered = Decision(Outcome.ASK, "the mug", reading(), question="Do you mean 1 or 2?", candidates=two)
    assert candidate_labels(believed) == ["75%", "25%"] and candidate_labels(numbered) == ["1", "2"]
    assert candidate_labels(ASK) == [] and candidate_labels(None) == ()
    rgb = np.full((160, 200, 3), 90, np.uint8)
    shown, marked = draw_debug(rgb, believed, caption=""), draw_debug(rgb, numbered, caption="")
    plate = lambda picture, x, y: (picture[y - 8 : y + 9, x - 8 : x + 9] == 0).all(-1).sum() > 20  # noqa: E731
    assert plate(marked, 40, 80) and not plate(shown, 40, 80), "a number stands in the middle"
    assert plate(shown, 40, 50) and not plate(marked, 40, 50), "what is believed stands above, where it hides nothing"
