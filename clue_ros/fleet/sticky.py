"""Which replica a robot's requests go to: always the same one, and every replica as many robots as the others.

Ray's own ConsistentHashRouter gives 16 robots to two replicas as 10 and 6 often enough; this one counts. A full or dead
replica is passed over for the next.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any, List, Optional

try:
    from ray.serve.experimental.consistent_hash_router import ConsistentHashRouter  # pyright: ignore[reportMissingImports]  # optional
except ImportError:  # then nobody asks for the class below
    ConsistentHashRouter = object

if TYPE_CHECKING:
    from ray.serve.request_router import PendingRequest, ReplicaID, RunningReplica  # pyright: ignore[reportMissingImports]  # optional

ROBOTS = 10_000  # remembered


class StickyRouter(ConsistentHashRouter):  # pyright: ignore[reportGeneralTypeIssues]  # object where Ray is missing
    """Ray makes one in each proxy. The loop that retries is ConsistentHashRouter's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._replica_of: "OrderedDict[str, ReplicaID]" = OrderedDict()  # robots, who asked last is last

    async def choose_replicas(
        self, candidate_replicas: "List[RunningReplica]", pending_request: "Optional[PendingRequest]" = None
    ) -> "List[List[RunningReplica]]":
        robot = pending_request.metadata.session_id if pending_request is not None else ""
        if not robot or not candidate_replicas:
            return await super().choose_replicas(candidate_replicas, pending_request)
        assert pending_request is not None
        pending_request.routing_context.should_backoff = True
        table = self._replica_of
        living = {replica.replica_id: replica for replica in candidate_replicas}
        robots = Counter(table.values())
        by_load = sorted(living, key=lambda name: (robots[name], name.unique_id))
        own = table.pop(robot, None)
        if own not in living:
            own = by_load[0]
        table[robot] = own
        while len(table) > ROBOTS:
            table.popitem(last=False)
        return [[living[own]], *([living[name]] for name in by_load if name != own)]
