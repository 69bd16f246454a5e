"""The server's side of HTTP: who may ask, how much, and what each path does with a Keeper.

    GET  /healthz      {"ok": true}; nothing else is said without the token
    GET  /metrics      for Prometheus
    GET  /v1/about     what the model can do
    POST /v1/see /v1/ground /v1/answer /v1/ambiguity /v1/chat /v1/mask /v1/relevance /v1/readings   bodies of wire.py

`answer` is `ground` with turns. One Starlette handler, so any server can run it (local.py: uvicorn). A
client that goes away ends its request: in the queue at once, in the model before the next token.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Callable, Dict, List, Optional, Tuple

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from clue_ros.belief.grounder import QUESTION_POLICIES
from clue_ros.console.access import Access
from clue_ros.fleet import values, wire
from clue_ros.fleet.keeper import BusyError, Held, Job, Keeper, UnknownImageError
from clue_ros.fleet.values import Fields
from clue_ros.fleet.wire import ROBOT, TooLongError, WireError
from clue_ros.seams import Capability
from clue_ros.types import StopTest
from clue_ros.version import VERSION

MAX_NAME = 64
BODY_S = 20.0  # for a body to arrive
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
WEB = ("origin", "sec-fetch-site", "sec-fetch-mode")  # a browser says these; no robot does
Reply = Tuple[Fields, List[Any]]
_DIALOGUE = ("image", "expression", "turns")


class Desk:
    """`await desk(request)` answers one. access: the token and the names of this machine."""

    def __init__(self, keeper: Keeper, access: Access, named: bool = False, replica: str = "") -> None:
        """named: refuse foreign host names (a server without a token, which a web page could otherwise reach)."""
        self.keeper, self._access, self._named, self._replica = keeper, access, named, replica
        self._model = keeper.grounder

    async def __call__(self, request: Request) -> Response:
        response = self._refusal(request)
        if response is None and request.method == "GET":
            response = self._get(request)
        elif response is None:
            try:
                response = await self._post(request)
            except ClientDisconnect:
                response = PlainTextResponse("You went away.", 499)
        assert response is not None
        response.headers.update(HEADERS)
        return response

    def _refusal(self, request: Request) -> Optional[Response]:
        if any(name in request.headers for name in WEB):
            return PlainTextResponse("This is a server for robots: browsers are refused.", 403)
        if self._named and not self._access.host_is_ours(request.headers.get("host", "")):
            return PlainTextResponse("This name is not this machine's: ask by its IP address.", 403)
        if request.method not in ("GET", "POST"):
            return PlainTextResponse("GET or POST.", 405)
        if request.url.path == "/healthz":
            return None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not self._access.knows(token if scheme.lower() == "bearer" else None):
            return PlainTextResponse("The token is missing or wrong: Authorization: Bearer TOKEN.", 401)
        return None

    def _get(self, request: Request) -> Response:
        path = request.url.path
        if path == "/healthz":
            return JSONResponse({"ok": True})
        if path == "/metrics":
            return PlainTextResponse(self.keeper.metrics(self._replica), media_type="text/plain; version=0.0.4")
        if path == "/v1/about":
            words = self._model.vocabulary
            able = self._model.capabilities - {Capability.BACKBONE, Capability.BELIEF}
            return JSONResponse({
                "clue_ros": VERSION, "capabilities": sorted(c.value for c in able),
                "threshold": self._model.threshold, "min_confidence": self._model.min_confidence,
                "vocabulary": None if words is None else sorted(words),
            })  # fmt: skip
        return PlainTextResponse("There is no such path.", 404)

    async def _post(self, request: Request) -> Response:
        prefix, _, verb = request.url.path.rpartition("/")
        plan = VERBS.get(verb) if prefix == "/v1" else None
        robot = request.headers.get(ROBOT, "")
        if plan is None:
            return PlainTextResponse("There is no such path.", 404)
        if request.headers.get("content-type", "") != wire.TYPE:
            return PlainTextResponse(f"Send {wire.TYPE}.", 415)
        if not (robot and len(robot) <= MAX_NAME and robot.isascii() and robot.isprintable()):
            return PlainTextResponse(f"Name the robot in {ROBOT}: 1 to {MAX_NAME} printable characters.", 400)
        try:
            self.keeper.check_room(robot)
            body = await asyncio.wait_for(_read(request), BODY_S)
            fields, arrays = wire.unpack(body)
            del body
            job = self.keeper.submit(robot, plan(self.keeper, robot, fields, arrays), verb == "see")
            return self._said(200, *await _result(job, request))
        except BusyError as busy:
            response = self._said(429, {"error": "busy", "text": str(busy)}, [])
            response.headers["Retry-After"] = "1"
            return response
        except UnknownImageError as unknown:
            return self._said(409, {"error": "unknown_image", "text": str(unknown)}, [])
        except asyncio.TimeoutError:
            return self._said(408, {"error": "bad_request", "text": f"the body did not come within {BODY_S:g} s"}, [])
        except (asyncio.CancelledError, ClientDisconnect):
            raise
        except Exception as error:  # whatever the model raised
            status, said = values.error_said(error)
            return self._said(status, said, [])

    def _said(self, status: int, fields: Fields, arrays: List[Any]) -> Response:
        body = wire.pack({**fields, "waiting": self.keeper.waiting}, arrays)
        return Response(body, status, media_type=wire.TYPE)


async def _read(request: Request) -> bytes:
    """The body, refused as soon as it is too long."""
    stated = request.headers.get("content-length", "0")
    size = int(stated) if stated.isdecimal() and len(stated) < 12 else wire.MAX_BODY + 1
    parts: List[bytes] = []
    if size <= wire.MAX_BODY:
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > wire.MAX_BODY:
                break
            parts.append(part)
    if size > wire.MAX_BODY:
        raise TooLongError(f"the body is longer than its limit of {wire.MAX_BODY} bytes: send the image as JPEG")
    return b"".join(parts)


async def _result(job: Job, request: Request) -> Any:
    """What the job gives; it is cancelled when the client goes away, or the server cancels this call."""
    done = asyncio.wrap_future(job.future)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            job.cancel()
            with contextlib.suppress(Exception):
                await done
            raise ClientDisconnect
        return done.result()
    finally:
        gone.cancel()
        if not done.done():
            job.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


# What each path asks of the model: (keeper, robot, fields, arrays) -> work for the worker's thread.


def _opened(keeper: Keeper, robot: str, fields: Fields, arrays: List[Any], *names: str) -> Callable[[], Held]:
    """Checks what is said; the image is looked up when it is the request's turn."""
    wire.only(fields, *names)
    image = wire.text(fields, "image")
    if len(arrays) > 1:
        raise WireError("more than one image")
    return lambda: keeper.held(robot, image, arrays[0] if arrays else None)


def _see(keeper: Keeper, robot: str, fields: Fields, arrays: List[Any]) -> Callable[[StopTest], Reply]:
    held = _opened(keeper, robot, fields, arrays, "image", "ahead")
    ahead = wire.yes(fields, "ahead", False)

    def work(should_stop: StopTest) -> Reply:
        image = held()
        if ahead and not image.ahead:
            image.seen = keeper.grounder.look(image.seen)
            image.ahead = True
        return {}, []

    return work


def _ground(keeper: Keeper, robot: str, fields: Fields, arrays: List[Any]) -> Callable[[StopTest], Reply]:
    held = _opened(keeper, robot, fields, arrays, *_DIALOGUE, "may_ask", "threshold", "candidates", "min_confidence",
                   "mask", "pointing", "policy")  # fmt: skip
    expression, turns = wire.text(fields, "expression"), values.turns_of(fields.get("turns", []))
    policy, pointing = wire.text(fields, "policy", QUESTION_POLICIES[0]), values.answer_of(fields.get("pointing"))
    if policy not in QUESTION_POLICIES:
        raise WireError(f"policy is none of {', '.join(QUESTION_POLICIES)}")
    options: Dict[str, Any] = {
        "may_ask": wire.yes(fields, "may_ask", True), "threshold": wire.share(fields.get("threshold"), "threshold"),
        "candidates": values.boxes_of(fields.get("candidates", []), "candidates"),
        "min_confidence": wire.share(fields.get("min_confidence"), "min_confidence"),
        "mask": wire.yes(fields, "mask", False),
    }  # fmt: skip

    def work(should_stop: StopTest) -> Reply:
        image = held()
        asking = keeper.asking(image, policy)
        return values.decision_said(
            asking.ground(image.seen, expression, turns, pointing=pointing, should_stop=should_stop, **options)
        )

    return work


def _ambiguity(keeper: Keeper, robot: str, fields: Fields, arrays: List[Any]) -> Callable[[StopTest], Reply]:
    held = _opened(keeper, robot, fields, arrays, *_DIALOGUE, "threshold")
    expression, turns = wire.text(fields, "expression"), values.turns_of(fields.get("turns", []))
    threshold = wire.share(fields.get("threshold"), "threshold")

    def work(should_stop: StopTest) -> Reply:
        said, heat = values.ambiguity_said(
            keeper.grounder.detect_ambiguity(
                held().seen, expression, turns, threshold=threshold, should_stop=should_stop
            )
        )
        return {"ambiguity": said}, [heat]

    return work


def _chat(keeper: Keeper, robot: str, fields: Fields, arrays: List[Any]) -> Callable[[StopTest], Reply]:
    held = _opened(keeper, robot, fields, arrays, "image", "question")
    question = wire.text(fields, "question")

    def work(should_stop: StopTest) -> Reply:
        return values.chat_said(keeper.grounder.chat(held().seen, question, should_stop=should_stop)), []

    return work


def _mask(keeper: Keeper, robot: str, fields: Fields, arrays: List[Any]) -> Callable[[StopTest], Reply]:
    held = _opened(keeper, robot, fields, arrays, *_DIALOGUE, "box")
    expression, turns = wire.text(fields, "expression"), values.turns_of(fields.get("turns", []))
    box = values.box_of(fields.get("box"))
    return lambda _: ({}, [keeper.grounder.target_mask(held().seen, expression, turns, box)])


def _relevance(keeper: Keeper, robot: str, fields: Fields, arrays: List[Any]) -> Callable[[StopTest], Reply]:
    held = _opened(keeper, robot, fields, arrays, *_DIALOGUE)
    expression, turns = wire.text(fields, "expression"), values.turns_of(fields.get("turns", []))
    return lambda _: ({}, [keeper.grounder.relevance(held().seen, expression, turns)])


def _readings(keeper: Keeper, robot: str, fields: Fields, arrays: List[Any]) -> Callable[[StopTest], Reply]:
    held = _opened(keeper, robot, fields, arrays, *_DIALOGUE)
    expression, turns = wire.text(fields, "expression"), values.turns_of(fields.get("turns", []))
    return lambda _: ({"readings": [float(n) for n in keeper.grounder.readings(held().seen, expression, turns)]}, [])


VERBS: Dict[str, Callable[[Keeper, str, Fields, List[Any]], Callable[[StopTest], Any]]] = {
    "see": _see, "ground": _ground, "answer": _ground, "ambiguity": _ambiguity, "chat": _chat, "mask": _mask,
    "relevance": _relevance, "readings": _readings,
}  # fmt: skip
