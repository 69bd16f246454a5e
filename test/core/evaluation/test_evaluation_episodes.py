"""The episode runner on rendered episodes: with the truth as the model's answers, then with the embedded model."""

from pathlib import Path

import numpy as np
import pytest

import clue_ros
from clue_ros.evaluation.demo import play, summarise
from clue_ros.evaluation.episode_runner import derive_episode, person_rng, run_episode, truth_box_of
from clue_ros.simulation.episodes import EpisodeKind
from clue_ros.simulation.renderer import SimulationError, TabletopRenderer
from clue_ros.types import Ambiguity, ClueError, Decision, Outcome

MODEL = Path(clue_ros.__file__).parent / "models" / "tabletop"


@pytest.fixture(scope="module")
def renderer():
    try:
        with TabletopRenderer(320, 240) as renderer:
            yield renderer
    except SimulationError as error:
        pytest.skip(f"scenes cannot be rendered here: {error}")


class TruthfulGrounder:
    """Answers with the truth: a box, one question where it is ambiguous, or nothing."""

    def __init__(self, episode, truth_box):
        self.episode, self.truth_box, self.turns = episode, truth_box, ()

    def encode(self, rgb):
        assert rgb.dtype == np.uint8 and rgb.shape == (240, 320, 3)
        return rgb

    def ground(self, image, expression, turns=(), *, may_ask=True, threshold=None):
        self.turns = turns
        ambiguous = self.episode.truth == "ambiguous" and not turns
        reading = Ambiguity(float(ambiguous), 0.5, ambiguous, np.zeros((16, 16), np.float32))
        if self.truth_box is None:
            return Decision(Outcome.NOT_FOUND, expression, reading)
        if ambiguous:
            return Decision(Outcome.ASK, expression, reading, question="which color is it?")
        return Decision(Outcome.FOUND, expression, reading, self.truth_box, 1.0)


@pytest.mark.parametrize("index", range(6))
def test_the_truth_succeeds_in_every_kind(renderer, index):
    episode = derive_episode(3, index)
    assert episode.kind is list(EpisodeKind)[index]
    view = renderer.render(episode.scene)
    grounder = TruthfulGrounder(episode, truth_box_of(view, episode))
    result = run_episode(grounder, view, episode, rng=person_rng(3, index))
    assert result.success, result.reason
    assert result.expression == episode.expression and result.kind == episode.kind.value
    if episode.truth == "ambiguous":
        answer = grounder.turns[0].answer
        assert (answer.point is not None) == (episode.kind is EpisodeKind.CLICK) and (answer.point or answer.text)


def test_episodes_derive_from_seed_and_index_alone():
    assert derive_episode(5, 1) == derive_episode(5, 1)
    assert derive_episode(5, 1) != derive_episode(6, 1)
    assert derive_episode(5, 7).kind is derive_episode(5, 1).kind


def test_a_failing_model_counts_as_failed(renderer):
    class Failing:
        def encode(self, rgb):
            raise ClueError("no model today")

    rows = list(play(Failing(), [0], size=(64, 48)))
    assert len(rows) == 6 and {row["outcome"] for row in rows} == {"error"}
    assert summarise(rows)[-1]["successes"] == 0 and "no model today" in rows[0]["reason"]


@pytest.mark.skipif(not MODEL.is_dir(), reason="the embedded model clue_ros/models/tabletop is not there yet")
def test_the_embedded_model_plays_the_demo(renderer):
    from clue_ros.grounder import Grounder

    grounder = Grounder.from_pretrained()
    try:
        rows = list(play(grounder, range(2)))
    finally:
        grounder.close()
    assert len(rows) == 12 and not [row for row in rows if row["outcome"] in ("error", "unknown_words")]
    # The card's claim is 80 %; two seeds are too few to hold it to that.
    assert sum(row["success"] for row in rows) >= 6
