"""The server on Ray Serve: replicas of a model behind one address, restarted when they die, drained when redeployed.

    with serving(Plan(replicas=2), "127.0.0.1", 8780) as url:
        ...

Ray starts, watches and restarts the replicas, takes the requests and gives each robot's to its replica (sticky.py).
What a replica does with a request is app.py's, so it is the same as without Ray. Ray's own metrics are on its
dashboard's Prometheus port; `/metrics` here is one replica's.
"""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass
from typing import Any, Iterator, Optional

from clue_ros.console.access import Access, local_address
from clue_ros.fleet.keeper import Keeper, Limits
from clue_ros.fleet.local import check_address
from clue_ros.types import ClueError

NAME = "clue"
DRAIN_S = 30.0  # for requests of a replica that is replaced
HEALTH_S = 5.0  # between two looks at a replica
# On a busy machine a proxy takes more than 5 s to start, and a replica more than 0.1 s to say how much it has to do:
# then a robot's request went to another one, which had to see its image again.
PATIENCE = {"RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60", "RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S": "2"}
INSTALL = "pip install 'clue_ros[fleet]' (ray[serve]), or give --without-ray for one replica in one process"


@dataclass(frozen=True)
class Plan:
    """What is served. model: a directory that every machine of the cluster has, None for the embedded model; gpus: of
    each replica; threads: of torch in each, 0: the cores shared out; the rest as Grounder.from_pretrained."""

    model: Optional[str] = None
    device: str = "cpu"
    dtype: str = "auto"
    quantization: str = "none"
    glances: Optional[int] = None
    replicas: int = 1
    gpus: float = 0.0
    threads: int = 0
    token: str = ""
    limits: Limits = Limits()


class Replica:
    """One process with one model."""

    def __init__(self, plan: Plan) -> None:
        import torch
        from ray import serve  # pyright: ignore[reportMissingImports]  # optional

        from clue_ros.fleet.app import Desk
        from clue_ros.grounder import Grounder

        torch.set_num_threads(plan.threads or max(1, (os.cpu_count() or 1) // plan.replicas))
        grounder = Grounder.from_pretrained(
            plan.model, plan.device, plan.dtype, quantization=plan.quantization, glances=plan.glances
        )
        grounder.warm_up()
        self._keeper = Keeper(grounder, plan.limits)
        name = serve.get_replica_context().replica_id.unique_id
        self._desk = Desk(self._keeper, Access(plan.token), named=not plan.token, replica=name)

    async def __call__(self, request: Any) -> Any:
        """A Starlette request."""
        return await self._desk(request)

    def check_health(self) -> None:
        """Asked by Ray, which replaces a replica that raises."""
        if not self._keeper.alive:
            raise RuntimeError("the worker has ended")


@contextlib.contextmanager
def serving(plan: Plan, host: str, port: int, address: Optional[str] = None) -> Iterator[str]:
    """Serves inside the block; gives the URL. At its end what runs may end.

    address: of a Ray cluster, 'auto' for that of this machine; None: a Ray of its own.

    Raises AccessError, and ClueError where Ray is missing or the replicas do not start.
    """
    check_address(host, plan.token)
    for name, seconds in PATIENCE.items():
        os.environ.setdefault(name, seconds)  # Ray reads them when it is imported, in every process that it starts
    try:
        import ray  # pyright: ignore[reportMissingImports]  # optional
        from ray import serve  # pyright: ignore[reportMissingImports]  # optional
        from ray.serve.config import HTTPOptions, RequestRouterConfig  # pyright: ignore[reportMissingImports]  # optional
    except ImportError as error:
        raise ClueError(f"Ray is not installed ({error}): {INSTALL}") from error
    if address is None:
        ray.init(num_cpus=max(plan.replicas, os.cpu_count() or 1), include_dashboard=False, log_to_driver=False,
                 logging_level=logging.ERROR)  # fmt: skip
    else:
        ray.init(address, logging_level=logging.ERROR, log_to_driver=False)
    try:
        serve.start(http_options=HTTPOptions(host=host, port=port))
        deployment = serve.deployment(
            name=NAME,
            num_replicas=plan.replicas,
            ray_actor_options={"num_cpus": 1, "num_gpus": plan.gpus},
            max_ongoing_requests=plan.limits.waiting,  # the Keeper's queue is fair between robots, Ray's is not
            max_queued_requests=plan.limits.waiting,
            graceful_shutdown_timeout_s=DRAIN_S,
            health_check_period_s=HEALTH_S,
            request_router_config=RequestRouterConfig(request_router_class="clue_ros.fleet.sticky:StickyRouter"),
        )(Replica)
        try:
            serve.run(deployment.bind(plan), name=NAME, route_prefix="/")
        except RuntimeError as error:
            raise ClueError(f"the replicas do not start: {str(error).strip().splitlines()[-1]}") from error
        yield "http://{}:{}".format(*local_address(host, port))
    finally:
        with contextlib.suppress(Exception):
            serve.delete(NAME)
        if address is None:
            serve.shutdown()
        ray.shutdown()
