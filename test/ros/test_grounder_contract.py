"""The Grounders of ros/ keep the promises of test/grounder_contract.py too: neither node nor DDS is started."""

import pytest
from grounder_contract import PROMISES

from clue_ros.ros.lab.focus_latency import Spot
from clue_ros.ros.scripted_ground import CODES, ScenarioGrounder
from clue_ros.testing.scenario import load_scenario

SCENARIO = """
rules:
  - {match: ".*mug", ask: "left or right ?", box: [5, 5, 30, 40], answers: [{match: ".*left.*", box: [5, 5, 30, 40]}]}
"""


@pytest.fixture(params=["scenario", "spot"])
def grounder(request, tmp_path):
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    return Spot() if request.param == "spot" else ScenarioGrounder(load_scenario(tmp_path / "scenario.yaml", CODES))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.__name__)
def test_every_grounder_keeps_it(grounder, promise):
    promise(grounder)
