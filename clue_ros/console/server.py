"""The console's HTTP and WebSocket server: FastAPI on uvicorn, in a thread of its own.

server = ConsoleServer(state, pictures, robot, Settings(port=8765))
server.start()      # raises ClueError: address in use, not allowed
...
server.stop()
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from dataclasses import dataclass, field
from typing import Any, AsyncIterator, Callable, Mapping, Optional, Tuple

import uvicorn
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from clue_ros.console.access import Access, Allowance, check_bind, local_address
from clue_ros.console.feed import Feed, Recording, bags_of
from clue_ros.console.page_files import INDEX, PageFile, page_files
from clue_ros.console.pictures import Pictures
from clue_ros.console.state import ConsoleState
from clue_ros.console.viewers import Robot, Viewer
from clue_ros.types import ClueError

PORT = 8765
LARGEST_MESSAGE = 65536  # bytes; above, the socket is closed unread (1009); from requests.MAX_MESSAGE on it is refused
START_S, STOP_S = 60.0, 10.0
# 4401 token, 4403 origin, 4429 too many pages; 1008 flood, 1009 larger than LARGEST_MESSAGE.
NO_TOKEN, NO_ORIGIN, TOO_MANY = 4401, 4403, 4429
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; font-src 'self';"
        " connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address may hold the token
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Settings:
    """address: to bind; port 0: any free one; token: '' for none; allow_open: no token on an address that others
    reach.
    """

    address: str = "127.0.0.1"
    port: int = PORT
    token: str = ""
    allow_open: bool = False
    allowed_hosts: Tuple[str, ...] = ()
    max_viewers: int = 32
    frames_per_s: float = 10.0
    can_instruct: bool = True


@dataclass
class Parts:
    """What the routes work with; export() gives the HTML of the session."""

    feed: Feed
    robot: Robot
    access: Access
    settings: Settings
    recordings: Mapping[str, Recording]
    export: Callable[[], str]
    exports: Allowance = field(default_factory=lambda: Allowance(1.0))


def guarded_app(title: str, access: Access, files: Mapping[str, PageFile], lifespan: Any = None) -> FastAPI:
    """An application that serves the page's files, and that no foreign page or name reaches. Every answer carries
    HEADERS."""
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)

    @app.middleware("http")
    async def guard(request: Request, proceed: Callable) -> Response:
        if not access.host_is_ours(request.headers.get("host", "")):
            response: Response = PlainTextResponse(
                "This name is not one of the console's: open it by its IP address, or name it in `allowed_hosts`.", 403
            )
        elif request.headers.get("sec-fetch-site", "none") == "cross-site" and request.method != "GET":
            response = PlainTextResponse("Requests from other pages are refused.", 403)
        else:
            response = await proceed(request)
        response.headers.update(HEADERS)
        return response

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        file = files.get(name)
        if file is None:
            return PlainTextResponse("There is no such file.", 404)
        return Response(file.path.read_bytes(), media_type=file.mime)

    @app.get("/healthz")
    def health() -> Response:
        return JSONResponse({"ok": True})

    return app


def make_app(parts: Parts) -> FastAPI:
    """The routes."""
    access, feed, settings = parts.access, parts.feed, parts.settings
    files = page_files()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.ensure_future(feed.run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    app = guarded_app("clue_ros console", access, files, lifespan)

    def refused(request: Request) -> Optional[Response]:
        if access.knows(request.query_params.get("token")):
            return None
        return PlainTextResponse("Open the address with ?token=… as the console printed it when it started.", 401)

    @app.get("/")
    def index(request: Request) -> Response:
        return refused(request) or Response(files[INDEX].path.read_bytes(), media_type=files[INDEX].mime)

    @app.get("/bags")
    def bags(request: Request) -> Response:
        return refused(request) or JSONResponse(bags_of(parts.recordings))

    @app.get("/taught")
    def taught(request: Request) -> Response:
        return refused(request) or JSONResponse(feed.state.taught)

    @app.get("/export")
    def export(request: Request) -> Response:
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return PlainTextResponse("Requests from other pages are refused.", 403)
        answer = refused(request)
        if answer is None and not parts.exports.take():
            answer = PlainTextResponse("One export a second: try again.", 429)
        disposition = {"Content-Disposition": 'attachment; filename="clue_session.html"'}
        return answer or HTMLResponse(parts.export(), headers=disposition)

    @app.websocket("/ws")
    async def socket_of_a_page(page: WebSocket) -> None:
        if not access.same_origin(page.headers.get("origin"), page.headers.get("host", "")):
            await page.close(NO_ORIGIN)  # before it is accepted: the handshake is answered with 403
            return
        await page.accept()
        if not access.knows(page.query_params.get("token")):
            await page.close(NO_TOKEN, "the token is missing or wrong")
            return
        if len(feed.viewers) >= settings.max_viewers:
            await page.close(TOO_MANY, f"{settings.max_viewers} pages are open already")
            return
        options = {"can_instruct": settings.can_instruct, "live": True, "replay": bags_of(parts.recordings)}
        viewer = Viewer(page, feed, parts.robot, options)
        feed.viewers.add(viewer)
        try:
            await viewer.run()
        finally:
            feed.viewers.discard(viewer)

    return app


class PageServer:
    """Binds at once, serves an application from `start` to `stop`, in a thread of its own."""

    def __init__(self, settings: Settings, make: Callable[[Access], FastAPI], what: str = "console") -> None:
        """make: called in the server's loop. Raises AccessError for an address that may not be opened, ClueError for
        one that cannot be bound."""
        self._settings, self._make, self._what = settings, make, what
        self._socket = bind(settings.address, settings.port, what)
        self.port: int = self._socket.getsockname()[1]
        self._server: Optional[uvicorn.Server] = None
        self._thread = threading.Thread(target=self._serve, name="console-server", daemon=True)
        self._ready = threading.Event()
        self._failure: Optional[BaseException] = None

    def address(self, token: str) -> str:
        """What a browser on this machine opens; with the token, if there is one."""
        name, port = local_address(self._settings.address, self.port)
        return f"http://{name}:{port}/" + (f"?token={token}" if token else "")

    def start(self) -> None:
        """Returns when pages can be served."""
        self._thread.start()
        if not self._ready.wait(START_S) or self._failure is not None:
            raise ClueError(f"the {self._what}'s server did not start: {self._failure or f'not within {START_S:g} s'}")

    def stop(self) -> None:
        """Closes every socket; pages find out and try again."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(STOP_S)
        self._socket.close()

    def _serve(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # told to who started it
            self._failure = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        config = uvicorn.Config(
            self._make(Access(self._settings.token, self._settings.allowed_hosts)),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws_max_size=LARGEST_MESSAGE,
            ws_max_queue=8,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=2,
            limit_concurrency=256,
            h11_max_incomplete_event_size=16384,
        )
        self._server = server = TellingServer(config, self._ready.set)
        await server.serve(sockets=[self._socket])


class ConsoleServer(PageServer):
    """The console's."""

    def __init__(
        self, state: ConsoleState, pictures: Pictures, robot: Robot, settings: Settings = Settings(),
        recordings: Optional[Mapping[str, Recording]] = None, export: Callable[[], str] = lambda: "",
    ) -> None:  # fmt: skip
        """Raises AccessError for an address that may not be opened, ClueError for one that cannot be bound."""
        check_bind(settings.address, settings.token, settings.allow_open)
        super().__init__(settings, self._app)
        self._parts = (state, pictures, robot, recordings or {}, export)
        self.feed: Optional[Feed] = None

    @property
    def url(self) -> str:
        """What a browser on this machine opens; with the token, if there is one."""
        return self.address(self._settings.token)

    def _app(self, access: Access) -> FastAPI:
        state, pictures, robot, recordings, export = self._parts
        self.feed = feed = Feed(state, pictures, self._settings.frames_per_s)
        feed.recordings = recordings
        return make_app(Parts(feed, robot, access, self._settings, recordings, export))


class TellingServer(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: Optional[list] = None) -> None:
        await super().startup(sockets)
        self._on_start()


def bind(address: str, port: int, what: str = "console") -> socket.socket:
    """A listening socket, taken now, so that what is wrong with the address is said at once."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(address.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        # With its protocol: asyncio turns Nagle's waiting off where it reads TCP there. It cost each answer 40 ms.
        server = socket.socket(family, kind, protocol)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(where)
        except OSError:
            server.close()
            raise
        return server
    except OSError as error:
        raise ClueError(
            f"the {what} cannot listen on {address} port {port} ({error.strerror or error}): another {what} may run;"
            " give another `port` (0: any free one)"
        ) from error
