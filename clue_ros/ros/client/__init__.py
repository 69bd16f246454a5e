"""The client of the clue node, for pick pipelines: it cannot take a lost, late or failed goal for a target.

    from clue_ros.ros.client import ClueClient

    with ClueClient(namespace="/clue") as clue:
        outcome = clue.ground("the red mug", on_question=input, timeout=60.0)
        if outcome.ok:
            pick(outcome.target.position)
        else:
            print(outcome.error_name, outcome.error_msg)

`client.py` is the face of it all, `goal.py` the life of a goal, `outcome.py` how it ends.
"""

from clue_ros.ros.client.client import ClueClient
from clue_ros.ros.client.goal import Goal
from clue_ros.ros.client.outcome import CallFailed, CallOutcome, ClientCode, GroundFailed, GroundOutcome, error_name
from clue_ros.ros.client.promise import NotSpunError, WouldBlockError
from clue_ros.ros.client.requests import Reply, box, click, mark, scribble, words
from clue_ros.ros.client.watch import Corrections, Held, Watch

__all__ = [
    "CallFailed",
    "CallOutcome",
    "ClientCode",
    "ClueClient",
    "Corrections",
    "Goal",
    "GroundFailed",
    "GroundOutcome",
    "Held",
    "NotSpunError",
    "Reply",
    "Watch",
    "WouldBlockError",
    "box",
    "click",
    "error_name",
    "mark",
    "scribble",
    "words",
]
