"""Every transition of the lifecycle, driven through the node's services and watched on transition_event, over DDS.

Each course says which edges of the state machine it takes; together they are all that the node's own graph has, but for
those that the node's code never takes, which are named.
"""

from __future__ import annotations

from typing import Callable, List, NamedTuple, Tuple

import pytest
from bench import SUCCEEDED, wait_until
from lifecycle_msgs.msg import TransitionEvent
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions, GetState
from rclpy.parameter import Parameter

from clue_ros.testing.fake_grounder import ScriptedGrounder
from clue_ros.types import ModelLoadError

Edge = Tuple[str, str, str]  # state, transition, state


def passes(before: str, name: str, between: str, after: str) -> List[Edge]:
    return [(before, name, between), (between, "transition_success", after)]


def fails(before: str, name: str, between: str) -> List[Edge]:
    """An exception in a transition: through error processing back to unconfigured."""
    end = [(between, "transition_error", "errorprocessing"), ("errorprocessing", "transition_success", "unconfigured")]
    return [(before, name, between), *end]


CONFIGURE = passes("unconfigured", "configure", "configuring", "inactive")
ACTIVATE = passes("inactive", "activate", "activating", "active")
DEACTIVATE = passes("active", "deactivate", "deactivating", "inactive")
CLEANUP = passes("inactive", "cleanup", "cleaningup", "unconfigured")


class Course(NamedTuple):
    """What is asked of the node, in order; `breaks`: what raises once in the last of them; the edges it takes."""

    asked: Tuple[str, ...]
    edges: List[Edge]
    breaks: str = ""


COURSES = {
    "round": Course(("configure", "activate", "deactivate", "cleanup"), [*CONFIGURE, *ACTIVATE, *DEACTIVATE, *CLEANUP]),
    "shutdown, unconfigured": Course(("shutdown",), passes("unconfigured", "shutdown", "shuttingdown", "finalized")),
    "shutdown, inactive": Course(
        ("configure", "shutdown"), [*CONFIGURE, *passes("inactive", "shutdown", "shuttingdown", "finalized")]
    ),
    "shutdown, active": Course(
        ("configure", "activate", "shutdown"),
        [*CONFIGURE, *ACTIVATE, *passes("active", "shutdown", "shuttingdown", "finalized")],
    ),
    "error, configuring": Course(("configure",), fails("unconfigured", "configure", "configuring"), "Speech"),
    "error, activating": Course(
        ("configure", "activate"), [*CONFIGURE, *fails("inactive", "activate", "activating")], "LookAhead.start"
    ),
    "error, deactivating": Course(
        ("configure", "activate", "deactivate"),
        [*CONFIGURE, *ACTIVATE, *fails("active", "deactivate", "deactivating")],
        "LookAhead.stop",
    ),
    "error, cleaning up": Course(
        ("configure", "cleanup"), [*CONFIGURE, *fails("inactive", "cleanup", "cleaningup")], "Diagnostics.released"
    ),
    "error, shutting down": Course(
        ("configure", "shutdown"), [*CONFIGURE, *fails("inactive", "shutdown", "shuttingdown")], "Diagnostics.released"
    ),
}
FAILING_CONFIGURE = [
    ("unconfigured", "configure", "configuring"),
    ("configuring", "transition_failure", "unconfigured"),
]
# Only configure can fail (a model that does not load), and error processing ends with success.
NEVER = {(state, "transition_failure") for state in ("activating", "deactivating", "cleaningup", "shuttingdown")}
NEVER |= {("errorprocessing", "transition_failure"), ("errorprocessing", "transition_error")}


class Operator:
    """`ros2 lifecycle` against the bench's node."""

    def __init__(self, bench) -> None:
        self.bench = bench
        self.events: List[Tuple[str, str]] = []  # (state, state): rcl leaves the transition's name out
        client = bench.client
        client.create_subscription(TransitionEvent, "/clue/transition_event", self._on_event, 50)
        self._change = client.create_client(ChangeState, "/clue/change_state")
        self._state = client.create_client(GetState, "/clue/get_state")
        self._graph = client.create_client(GetAvailableTransitions, "/clue/get_transition_graph")
        for service in (self._change, self._state, self._graph):
            wait_until(service.service_is_ready)
        wait_until(lambda: bench.node.count_subscribers("/clue/transition_event") > 0)
        wait_until(lambda: client.count_publishers("/clue/transition_event") > 0)

    def ask(self, name: str) -> bool:
        request = ChangeState.Request()
        request.transition.label = name
        return self.bench.call(self._change, request).success

    @property
    def state(self) -> str:
        return self.bench.call(self._state, GetState.Request()).current_state.label

    def graph(self) -> List[Edge]:
        found = self.bench.call(self._graph, GetAvailableTransitions.Request()).available_transitions
        return [(t.start_state.label, t.transition.label, t.goal_state.label) for t in found]

    def took(self, edges: List[Edge]) -> None:
        wait_until(lambda: len(self.events) >= len(edges), what=f"{edges}")
        assert self.events == [(before, after) for before, _, after in edges]

    def _on_event(self, event: TransitionEvent) -> None:
        self.events.append((event.start_state.label, event.goal_state.label))


def raise_once(monkeypatch, name: str) -> None:
    """Makes a part of the node raise the next time it is called or made."""
    from clue_ros.ros import node

    part, _, method = name.partition(".")
    owner, attribute = (getattr(node, part), method) if method else (node, part)
    real: Callable = getattr(owner, attribute)
    broken = [True]

    def breaks(*args, **kwargs):
        if broken:
            broken.clear()
            raise RuntimeError("a bug in the node")
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, attribute, breaks)


@pytest.mark.parametrize("name", COURSES)
def test_course(make_bench, monkeypatch, capfd, name):
    course, made = COURSES[name], []

    def factory(settings):
        made.append(ScriptedGrounder())
        return made[-1]

    bench = make_bench(activate=False, factory=factory)
    operator = Operator(bench)
    for asked in course.asked[:-1]:
        assert operator.ask(asked)
    if course.breaks:
        raise_once(monkeypatch, course.breaks)
    assert operator.ask(course.asked[-1]) is not bool(course.breaks)
    operator.took(course.edges)
    assert operator.state == course.edges[-1][2]
    if operator.state in ("unconfigured", "finalized"):
        assert all(grounder.closed for grounder in made), "the model is freed"
        wait_until(lambda: not bench.serves_goals(), what="no interface is left behind")
    if course.breaks:
        log = capfd.readouterr().err
        assert "a bug in the node" in log and "Traceback" in log, "the log says what went wrong"
    if operator.state == "unconfigured":  # and everything works again
        assert operator.ask("configure") and operator.ask("activate")
        bench.connect()
        assert bench.ground("the mug")[0] == SUCCEEDED


def test_error_processing_that_fails_as_well_is_told_and_is_the_nodes_end(make_bench, monkeypatch, capfd):
    bench = make_bench(activate=False)
    operator = Operator(bench)
    for name in ("Speech", "allocation.unsettle"):
        raise_once(monkeypatch, name)
    assert not operator.ask("configure")
    assert operator.state == "finalized"
    assert "on_error failed, the node is finalized: start it anew: RuntimeError(" in capfd.readouterr().err


def test_a_model_that_does_not_load_fails_configure_with_path_and_reason_and_another_one_works(make_bench, capfd):
    loaded = []

    def factory(settings):
        if settings.model == "/models/cut":
            raise ModelLoadError("/models/cut/model.safetensors is cut short")
        loaded.append(settings.model)
        return ScriptedGrounder()

    bench = make_bench(activate=False, factory=factory, model="/models/cut")
    operator = Operator(bench)
    assert not operator.ask("configure")
    operator.took(FAILING_CONFIGURE)
    assert operator.state == "unconfigured" and "/models/cut/model.safetensors is cut short" in capfd.readouterr().err
    for model in ("/models/a", "/models/b"):  # configured again with another model, without a restart
        assert bench.node.set_parameters([Parameter("model", value=model)])[0].successful
        assert operator.ask("configure") and operator.ask("activate")
        bench.connect()
        assert bench.ground("the mug")[0] == SUCCEEDED
        assert operator.ask("deactivate") and operator.ask("cleanup")
    assert loaded == ["/models/a", "/models/b"]


def test_a_transition_that_the_state_does_not_have_is_refused_and_changes_nothing(make_bench):
    bench = make_bench(activate=False)
    operator = Operator(bench)
    for name in ("activate", "deactivate", "cleanup"):
        assert not operator.ask(name) and operator.state == "unconfigured"
    assert operator.ask("configure") and not operator.ask("configure") and operator.state == "inactive"


def test_the_courses_take_every_edge_of_the_nodes_own_graph(make_bench):
    graph = Operator(make_bench(activate=False)).graph()
    taken = {edge for course in COURSES.values() for edge in course.edges} | set(FAILING_CONFIGURE)
    assert taken <= set(graph)
    left = {edge for edge in graph if edge not in taken and edge[:2] not in NEVER}
    assert not left, f"no course takes {sorted(left)}"
