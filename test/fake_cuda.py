"""Stand-ins for torch.cuda's graphs on a CPU, with what goes wrong with the real ones.

A graph records the operations of the current device only, each with the addresses that it read and wrote: memory that
was freed since holds something else by the time of a replay. Capturing elsewhere gives an empty graph and no error
(pytorch issue 87894).
"""

import contextlib
import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

FIRST = torch.device("cuda", 0)


class Machine:
    """What the stand-ins share. `current`: the current device; `graphs`: every graph made so far; `spoil`: changes the
    result of each recorded operation, as a wrong kernel would."""

    def __init__(self, spoil=None):
        self.current, self.graphs, self.spoil = FIRST, [], spoil

    @contextlib.contextmanager
    def on(self, device):
        before, self.current = self.current, torch.device(device)
        yield
        self.current = before


class Graph:
    def __init__(self, machine):
        self._machine, self.operations, self.replays, self._made = machine, [], 0, []
        machine.graphs.append(self)

    def record(self, function, arguments, options, result):
        made = {id(t) for t in self._made}
        inside = lambda t: isinstance(t, torch.Tensor) and id(t) in made  # noqa: E731
        hold = lambda t: weakref.ref(t) if isinstance(t, torch.Tensor) and not inside(t) else t  # noqa: E731
        known = {id(t) for t in tree_flatten((arguments, options))[0] if isinstance(t, torch.Tensor)}
        self._made += [t for t in tree_flatten(result)[0] if isinstance(t, torch.Tensor) and id(t) not in known]
        self.operations.append((function, tree_map(hold, arguments), tree_map(hold, options), result))

    def replay(self):
        self.replays += 1
        for function, arguments, options, result in self.operations:
            again = function(*tree_map(_there, arguments), **tree_map(_there, options))
            for old, new in zip(tree_flatten(result)[0], tree_flatten(again)[0]):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new if self._machine.spoil is None else self._machine.spoil(new))


def _there(value):
    if not isinstance(value, weakref.ref):
        return value
    tensor = value()
    assert tensor is not None, "a graph reads memory that was freed"
    return tensor


class _Recorder(TorchDispatchMode):
    def __init__(self, graph):
        super().__init__()
        self._graph = graph

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self._graph.record(function, args, kwargs or {}, result)
        return result


class _Stream:
    def __init__(self, device):
        self.device = device

    def wait_stream(self, other):
        assert other.device == self.device


def pretend(monkeypatch, spoil=None, elsewhere=False):
    """torch.cuda with the stand-ins; returns the Machine. elsewhere: nobody can make another device the current one."""
    machine = Machine(spoil)

    @contextlib.contextmanager
    def capture(graph, stream, capture_error_mode):
        with contextlib.ExitStack() as stack:
            if machine.current == stream.device:
                stack.enter_context(_Recorder(graph))
            yield

    for name, stand_in in (
        ("Stream", _Stream),
        ("current_stream", _Stream),
        ("stream", lambda stream: contextlib.nullcontext()),
        ("device", (lambda device: contextlib.nullcontext()) if elsewhere else machine.on),
        ("CUDAGraph", lambda: Graph(machine)),
        ("graph", capture),
    ):
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return machine
