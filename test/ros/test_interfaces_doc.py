"""docs/interfaces.md says what the running node has, and the node has what it says: each table, both ways."""

from __future__ import annotations

import re
from typing import Dict, List

import pytest
from bench import PATIENT, wait_until
from conftest import REPOSITORY
from rcl_interfaces.msg import ParameterType
from rclpy.action import get_action_server_names_and_types_by_node
from rclpy.parameter import parameter_value_to_python
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import ReliabilityPolicy

from clue_ros.action import Ground
from clue_ros.msg import Correction
from clue_ros.ros.client import ClientCode, ClueClient
from clue_ros.ros.running.errors import CODE_NAMES
from clue_ros.ros.running.parameters import _DECLARATIONS

TEXT = (REPOSITORY / "docs" / "interfaces.md").read_text(encoding="utf-8")
LIVE = "/humans/voices/ann/speech"
# What every node of ROS 2 has, and every lifecycle node.
OWN_TOPICS = {"/rosout", "/parameter_events", "/clue/transition_event", "/clock"}
OWN_SERVICES = {f"/clue/{name}" for name in (
    "change_state", "get_state", "get_available_states", "get_available_transitions", "get_transition_graph",
    "describe_parameters", "get_parameter_types", "get_parameters", "list_parameters", "set_parameters",
    "set_parameters_atomically", "get_type_description",
)}  # fmt: skip
OWN_PARAMETERS = {"use_sim_time", "start_type_description_service"}
TYPES = {
    ParameterType.PARAMETER_BOOL: "bool", ParameterType.PARAMETER_INTEGER: "int",
    ParameterType.PARAMETER_DOUBLE: "double", ParameterType.PARAMETER_STRING: "string",
    ParameterType.PARAMETER_STRING_ARRAY: "string[]",
}  # fmt: skip


def table(heading: str, first: str) -> List[Dict[str, str]]:
    """Rows of the table whose first column is `first`, in the section `heading`; backquotes removed."""
    section = re.split(r"^## ", TEXT.split(f"\n## {heading}\n")[1], flags=re.M)[0]
    lines = section[section.index(f"\n| {first} |") :].strip().split("\n\n")[0].splitlines()
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(rows[0], row)) for row in rows[2:]]


def absolute(name: str) -> str:
    return name if name.startswith("/") else f"/{name}"


def interface(name: str) -> str:
    """Types as the graph spells them: pkg/msg/Name for a documented pkg/Name."""
    return name if name.count("/") == 2 else name.replace("/", "/msg/")


def constants(message: type) -> Dict[str, int]:
    names = [name for name in dir(message) if name.isupper() and not name.endswith("__DEFAULT")]
    return {name: getattr(message, name) for name in names if type(getattr(message, name)) is int}


@pytest.fixture
def bench(make_bench, stand_ins):
    """The node with everything that is optional switched on."""
    bench = make_bench(publish_detections=True, live_speech_topic=LIVE)
    bench.drop(bench.depth_publisher)  # as the table says, compressed depth is taken in its place
    wait_until(lambda: ("clue", "/") in bench.client.get_node_names_and_namespaces())
    wait_until(lambda: bench.node.count_subscribers("/depth/compressedDepth"))
    return bench


def graph(bench, ask: str) -> Dict[str, str]:
    """{name: type} of what another node learns of the node; `ask`: publisher, subscriber or service."""
    found = getattr(bench.client, f"get_{ask}_names_and_types_by_node")("clue", "/")
    return {name: kinds[0] for name, kinds in found if "/_action/" not in name}


def test_topics(bench):
    said = {}
    for row in table("Topics", "name"):
        name = LIVE if row["name"] == "live_speech_topic" else absolute(row["name"])
        said[row["direction"], name] = interface(row["type"])

    def found():
        topics = {("out", name): kind for name, kind in graph(bench, "publisher").items()}
        topics.update({("in", name): kind for name, kind in graph(bench, "subscriber").items()})
        return {key: kind for key, kind in topics.items() if key[1] not in OWN_TOPICS}

    wait_until(lambda: len(found()) >= len(said), what=f"{set(said) - set(found())}")
    assert found() == said


def test_quality_of_service(bench):
    ends = {("out", end.topic_name): end.qos_profile for end in bench.node.publishers}
    ends.update({("in", end.topic_name): end.qos_profile for end in bench.node.subscriptions})
    for row in table("Topics", "name"):
        name = LIVE if row["name"] == "live_speech_topic" else absolute(row["name"])
        profile = ends[row["direction"], name]
        reliability = "reliable" if profile.reliability == ReliabilityPolicy.RELIABLE else "best effort"
        assert row["QoS"] == f"{reliability}, depth {profile.depth}", name


def test_the_inputs_of_several_cameras(make_bench):
    bench = make_bench(cameras=["front", "wrist"])
    inputs = {row["name"] for row in table("Topics", "name")[:6]}
    assert inputs == {"image", "image/compressed", "camera_info", "depth", "depth/compressedDepth", "depth_camera_info"}
    wanted = {f"/{camera}/{name}" for camera in ("front", "wrist") for name in inputs}
    wait_until(lambda: wanted <= set(graph(bench, "subscriber")))
    assert not {absolute(name) for name in inputs} & set(graph(bench, "subscriber"))


def test_services_and_the_action(bench):
    said = {absolute(row["name"]): row["type"] for row in table("Services", "name")}
    wait_until(lambda: set(said) | OWN_SERVICES <= set(graph(bench, "service")) | {"/clue/get_transition_graph"})
    assert {name: kind for name, kind in graph(bench, "service").items() if name not in OWN_SERVICES} == said
    heading = re.search(r"^## Action `(\w+)` \((\S+)\)$", TEXT, flags=re.M)
    actions = get_action_server_names_and_types_by_node(bench.client, "clue", "/")
    assert actions == [(absolute(heading[1]), [heading[2]])]


def test_policies_states_and_error_codes():
    heading = re.search(r"^## (Action .*)$", TEXT, flags=re.M)[1]
    policies = {row["ambiguity_policy"]: int(row["value"]) for row in table(heading, "`ambiguity_policy`")}
    assert policies == constants(Ground.Goal)
    codes = {int(row["value"]): row["error_code"] for row in table(heading, "error_code")}
    assert codes == CODE_NAMES
    feedback = {row["feedback"]: int(row["value"]) for row in table(heading, "feedback")}
    assert feedback == constants(Ground.Feedback)
    states = {row["Correction.state"]: int(row["value"]) for row in table("Messages", "`Correction.state`")}
    assert states == constants(Correction)


def test_the_clients_codes_and_methods():
    heading = re.search(r"^## (The Python client .*)$", TEXT, flags=re.M)[1]
    codes = {row["ClientCode"]: int(row["value"]) for row in table(heading, "ClientCode")}
    assert codes == {code.name: code.value for code in ClientCode}
    methods = {name for row in table(heading, "method") for name in re.findall(r"(\w+)\(", row["method"])}
    public = {name for name, member in vars(ClueClient).items() if callable(member) and not name.startswith("_")}
    assert methods == {name for name in public if not name.endswith("_async")} - {"finish"}


def described_range(row: Dict[str, str]) -> Dict[str, object]:
    """The column `range`: `low–high`, or the choices."""
    limits = re.fullmatch(r"(-?[\d.]+)–([\d.]+)", row["range"])
    if limits:
        return {"range": (float(limits[1]), float(limits[2]))}
    return {"choices": row["range"]} if row["range"] and row["name"] != "cameras" else {}


def test_parameters(bench):
    client = AsyncParameterClient(bench.client, "clue")
    wait_until(client.services_are_ready)

    def call(future):
        return wait_until(future.done) and future.result()

    names = [name for name in call(client.list_parameters([], 10)).result.names if name not in OWN_PARAMETERS]
    rows = {row["name"]: row for row in table("Parameters", "name")}
    assert sorted(names) == sorted(rows)
    values = [parameter_value_to_python(value) for value in call(client.get_parameters(names)).values]
    given = {"publish_detections": False, "live_speech_topic": ""}  # this bench's own
    given.update((name, _DECLARATIONS[name][0]) for name in PATIENT)
    for name, value, descriptor in zip(names, values, call(client.describe_parameters(names)).descriptors):
        row = rows[name]
        value = given.get(name, value)
        default = str(value).lower() if isinstance(value, bool) else str(value) if value != "" else '""'
        assert row["default"].replace('""', "''" if isinstance(value, list) else '""') == default, name
        assert row["type"] == TYPES[descriptor.type], name
        found = {}
        for limits in (*descriptor.floating_point_range, *descriptor.integer_range):
            found["range"] = (float(limits.from_value), float(limits.to_value))
        if descriptor.additional_constraints:
            found["choices"] = descriptor.additional_constraints.removeprefix("one of: ")
        assert described_range(row) == found, name
        assert ("Read once" in row["meaning"]) == descriptor.read_only, name
        assert ("Read by configure" in row["meaning"]) == ("Read by configure" in descriptor.description), name


def test_parameters_that_are_read_by_configure_may_be_set_and_then_wait_for_it(bench):
    """So the text under the table says."""
    assert "may be set at any time and does nothing until the next configure" in " ".join(TEXT.split())
    from rclpy.parameter import Parameter

    assert bench.node.set_parameters([Parameter("publish_detections", value=False)])[0].successful
    assert "/detections_2d" in graph(bench, "publisher")
    assert bench.lifecycle("deactivate") and bench.lifecycle("cleanup") and bench.lifecycle("configure")
    wait_until(lambda: "/detections_2d" not in graph(bench, "publisher"))
