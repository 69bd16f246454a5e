"""Words of stopping over DDS: in every state of a dialogue, in every speech_mode, while the robot speaks, with a
queue.
"""

from __future__ import annotations

import pytest
from bench import ABORTED, SUCCEEDED, wait_until

from clue_ros.action import Ground
from clue_ros.msg import Correction
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Box

Code, State = Ground.Result, Ground.Feedback
BOX, OTHER = Box(4, 4, 14, 14), Box(40, 4, 50, 14)
QUESTION = "The red one or the blue one?"
WORDS = ("Stop! Stop!", "no no no stop", "Stop, stop, stop, that's the wrong one!", "Hey robot, please stop!",
         "CANCEL. CANCEL.", "don't", "Hold on!", "stop moving", "wait")  # fmt: skip


class Slow(ScriptedGrounder):
    """The first look at the mug asks; what follows an answer takes a minute, and so does the plate."""

    def _line(self, expression, turns):
        if expression == "the mug" and not turns:
            return Say.ask(QUESTION)
        return Say.found(OTHER if turns else BOX, delay_s=600.0 if expression in ("the mug", "the plate") else 0.0)


def abandoned(goal):
    status, result = goal.finish()
    return (status, result.error_code) == (ABORTED, Code.ABANDONED)


@pytest.mark.parametrize("mode", ["start", "answer", "off"])
def test_every_state_while_the_robot_speaks(make_bench, mode):
    bench = make_bench(grounder=Slow(), speech_mode=mode, mute_after_utterance_s=60.0)
    for words in WORDS[:: {"start": 1, "answer": 3, "off": 2}[mode]]:
        calls = len(bench.grounder.calls)
        goal = bench.goal("the plate")  # the model works
        wait_until(lambda: len(bench.grounder.calls) > calls)
        bench.say(words)
        assert abandoned(goal), words

        goal = bench.goal("the mug")
        wait_until(lambda: goal.reached(State.WAITING_FOR_ANSWER))
        bench.say(words)
        assert abandoned(goal) and goal.finish()[1].turns[-2].text == words, "not taken as the answer"

        calls = len(bench.grounder.calls)
        goal = bench.goal("the mug")
        wait_until(lambda: goal.reached(State.WAITING_FOR_ANSWER))
        assert bench.answer(text="the red one").accepted
        wait_until(lambda: len(bench.grounder.calls) >= calls + 2)  # it thinks about the answer
        bench.say(words)
        assert abandoned(goal), words

        goal = bench.goal("the cup")
        status, result = goal.finish()
        assert (status, result.error_code) == (SUCCEEDED, Code.NONE)
        bench.corrections.clear()
        bench.say(words)
        (taken,) = wait_until(lambda: list(bench.corrections), what=f"correction by {words!r}")
        assert (taken.state, taken.corrects, taken.text) == (Correction.WITHDRAWN, goal.id, words)
    assert {t.expression for t in bench.targets} == {"the cup"} and not bench.node.busy


def test_while_no_image_has_come(make_bench):
    bench = make_bench(camera=False, speech_mode="off", wait_for_image_s=600.0)
    goal = bench.goal("the cup")
    wait_until(lambda: goal.reached(State.WAITING_FOR_IMAGE))
    bench.say("Stop! Stop!")
    assert abandoned(goal)


def test_goals_that_wait_end_with_what_halts_and_not_with_what_drops(make_bench):
    bench = make_bench(grounder=Slow(), goal_policy="queue", mute_after_utterance_s=60.0)
    first, second, third = bench.goal("the mug"), bench.goal("the mug"), bench.goal("the cup")
    wait_until(lambda: first.reached(State.WAITING_FOR_ANSWER) and third.reached(State.QUEUED))
    bench.say("never mind")
    assert abandoned(first)
    wait_until(lambda: second.reached(State.WAITING_FOR_ANSWER))
    bench.say("All right, never mind.")  # what the microphone hears of the robot
    said = len(bench.utterances)
    bench.say("Stop! Stop!")
    assert abandoned(second) and abandoned(third) and "while this goal waited" in third.finish()[1].error_msg
    wait_until(lambda: len(bench.utterances) > said)
    assert bench.utterances[said:] == ["All right, never mind."] and not bench.targets
    assert bench.ground("the cup")[0] == SUCCEEDED, "the next goal is a new one"


def test_a_target_that_another_dialogue_followed_is_taken_back_too(make_bench):
    bench = make_bench(grounder=Slow())
    done = bench.goal("the cup")
    assert done.finish()[0] == SUCCEEDED
    opened = bench.goal("the mug")
    wait_until(lambda: opened.reached(State.WAITING_FOR_ANSWER))
    bench.say("stop stop")
    assert abandoned(opened)
    (taken,) = wait_until(lambda: list(bench.corrections))
    assert (taken.state, taken.corrects) == (Correction.WITHDRAWN, done.id)
    wait_until(lambda: bench.utterances.count("All right, never mind.") == 1)


def test_stop_and_then_what_is_meant(make_bench):
    bench = make_bench(grounder=Slow(), mute_after_utterance_s=60.0)
    goal = bench.goal("the cup")
    assert goal.finish()[0] == SUCCEEDED
    bench.say("Stop! Take the left one!")  # heard although the robot speaks
    states = lambda: [c.state for c in bench.corrections]  # noqa: E731
    wait_until(lambda: states() == [Correction.REOPENED, Correction.CORRECTED])
    assert bench.grounder.calls[-1][1][-1].answer.text == "the left one"
    calls = len(bench.grounder.calls)
    goal = bench.goal("the plate")
    wait_until(lambda: len(bench.grounder.calls) > calls)
    bench.say("stop, the left one")  # the model works for a client, which has to say what comes next
    assert abandoned(goal)


def test_no_goal_and_no_words_look_for_a_thing_called_stop(make_bench):
    bench = make_bench()
    for words in ("Stop! Stop!", "never mind", "Stop! That's hot!", "don't take the red one", "please, robot, wait"):
        bench.say(words)
    assert bench.ground("Stop! Stop!")[1].error_code == Code.INVALID_EXPRESSION
    bench.say("the stop sign")
    wait_until(lambda: [target.expression for target in bench.targets] == ["the stop sign"])
    assert [call[0] for call in bench.grounder.calls] == ["the stop sign"]
