"""The clue node with a ScriptedGrounder that plays the demo's first six episodes right: python -m scripted_node

The demo's test runs it in place of the real node, so that it needs no model.
"""

import sys

from clue_ros.ros.demonstration.scripted_scene import Stage
from clue_ros.ros.node import main
from clue_ros.ros.running.loading import ModelSettings
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder

SEED = 0


def make_grounder(settings: ModelSettings) -> ScriptedGrounder:
    if settings.model.endswith("broken"):
        raise ValueError("a model that does not load")
    script, stage = {}, Stage(SEED)
    for index in range(6):
        episode, view = stage.render(index)
        if episode.target_index is None:
            script[episode.expression] = Say.not_found(delay_s=0.05)
            continue
        found = Say.found(view.objects[episode.target_index].box, delay_s=0.05)
        ask = Say.ask(f"Which {view.objects[episode.target_index].category}?", delay_s=0.05)
        questions = {"clear": 0, "two_questions": 2}.get(episode.kind.value, 1)
        script[episode.expression] = [ask] * questions + [found]
    stage.close()
    return ScriptedGrounder(script)


if __name__ == "__main__":
    sys.exit(main(factory=make_grounder))
