"""The server in one process, without Ray: uvicorn in a thread. For one replica, for tests, and for faults.

with LocalServer(grounder, port=8780) as server:
    RemoteGrounder.open(server.url)
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Optional

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from clue_ros.console.access import Access, AccessError, check_bind, is_loopback, local_address
from clue_ros.console.server import TellingServer, bind
from clue_ros.fleet.app import Desk
from clue_ros.fleet.keeper import Keeper, Limits
from clue_ros.seams import Grounder
from clue_ros.types import ClueError

PORT = 8780
START_S = 60.0
DRAIN_S = 20.0  # for requests that run when it stops


def check_address(host: str, token: str) -> None:
    """Raises AccessError for an address that others reach, without a token that keeps them out."""
    if not token and not is_loopback(host):
        raise AccessError(
            f"{host} is reached from other machines, and whoever reaches the server can use the model: write a token "
            "into a file (openssl rand -hex 16) and give it as --token-file"
        )
    check_bind(host, token, False)


class LocalServer:
    """Binds at once, serves from `start` to `stop`; the grounder stays the caller's."""

    def __init__(
        self, grounder: Grounder, host: str = "127.0.0.1", port: int = PORT, token: str = "", limits: Limits = Limits()
    ) -> None:
        """port: 0 for any free one; token: needed where others reach the address. Raises AccessError, ClueError."""
        check_address(host, token)
        self._socket = bind(host, port, "model server")
        self.port: int = self._socket.getsockname()[1]
        self.url = "http://{}:{}".format(*local_address(host, self.port))
        self.keeper = Keeper(grounder, limits)
        desk = Desk(self.keeper, Access(token), named=not token)
        route = Route("/{path:path}", desk.__call__, methods=["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
        self._app = Starlette(routes=[route])
        self._server: Optional[uvicorn.Server] = None
        self._ready = threading.Event()
        self._failure: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._serve, name="fleet-server", daemon=True)

    def __enter__(self) -> "LocalServer":
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when robots can ask."""
        self._thread.start()
        if not self._ready.wait(START_S) or self._failure is not None:
            raise ClueError(f"the server did not start: {self._failure or f'not within {START_S:g} s'}")

    def stop(self) -> None:
        """What runs may end, new requests are refused."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(DRAIN_S + 5.0)
        self._socket.close()
        self.keeper.close()

    def _serve(self) -> None:
        config = uvicorn.Config(
            self._app, log_config=None, access_log=False, server_header=False, proxy_headers=False,
            timeout_graceful_shutdown=int(DRAIN_S), timeout_keep_alive=120, limit_concurrency=512,
            h11_max_incomplete_event_size=16384, ws="none",
        )  # fmt: skip
        self._server = TellingServer(config, self._ready.set)
        try:
            asyncio.run(self._server.serve(sockets=[self._socket]))
        except BaseException as error:  # told to who started it
            self._failure = error
        finally:
            self._ready.set()
