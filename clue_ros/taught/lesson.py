"""A lesson by voice (dialogue/lessons.py) carried out: what the node and the replay of a bag do alike."""

from __future__ import annotations

from typing import Any, Union

from clue_ros.dialogue.acts import Forget, Recount, Teach
from clue_ros.dialogue.lessons import Report, Told
from clue_ros.taught.grounder import TaughtGrounder
from clue_ros.taught.refusals import KnownNameError, NothingToTeachError
from clue_ros.types import ClueError


def carry_out(grounder: TaughtGrounder, image: Any, act: Union[Teach, Forget, Recount]) -> Report:
    """What the conversation is to be told. image: as for TaughtGrounder.teach; only Teach looks at it."""
    store, views = grounder.memory.store, 0
    try:
        if isinstance(act, Teach):
            thing, _ = grounder.teach(image, act.name, act.shown, act.shadow)
            views = len(thing.views)
        elif isinstance(act, Forget):
            grounder.memory.forget(act.name)
        else:
            grounder.memory.reload()
    except KnownNameError:
        return Report(Told.KNOWN, store.names)
    except NothingToTeachError as error:
        return Report(Told.NO_PLACE, store.names, why=str(error))
    except ClueError as error:
        return Report(Told.REFUSED, store.names, why=str(error))
    return Report(Told.DONE, store.names, views)
