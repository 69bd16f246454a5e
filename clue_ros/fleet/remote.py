"""`RemoteGrounder`: a Grounder whose model is on a server (`clue serve`). Same methods, same decisions, same errors.

    grounder = RemoteGrounder.open("http://gpu:8780,http://spare:8780")
    grounder.ground(image, "hand me the mug")

An image is sent once, and again to a server that lacks it. While no server answers it tries on for `patience`
seconds, then raises ModelUnavailableError; it stays usable. Options stand in the address:
`http://gpu:8780?image=jpeg&patience=10`. The token is the content of the file that CLUE_TOKEN_FILE names.
"""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, List, Optional, Sequence, Tuple
from urllib.parse import parse_qsl, urlsplit

import cv2
import numpy as np

from clue_ros.chat.answer import GroundedAnswer
from clue_ros.fleet import values, wire
from clue_ros.fleet.connection import Health, Line
from clue_ros.fleet.wire import File, fingerprint
from clue_ros.geometry import as_rgb
from clue_ros.prompt import check_expression, check_turns
from clue_ros.seams import Capability, MissingCapabilityError, require
from clue_ros.types import (
    Ambiguity,
    Answer,
    Box,
    Decision,
    ModelLoadError,
    ModelUnavailableError,
    Readings,
    StopTest,
    Turn,
)

if TYPE_CHECKING:
    from clue_ros.vlm.backbone import Backbone

TOKEN_FILE = "CLUE_TOKEN_FILE"
PATIENCE_S = 30.0
JPEG_QUALITY = 95
SCHEMES = ("http://", "https://")


def is_address(model: str) -> bool:
    """Whether a model is named by the address of a server and not by a directory."""
    return model.startswith(SCHEMES)


def read_token(path: Optional[str]) -> str:
    """The token in a file, '' for no file. Raises ModelLoadError."""
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelLoadError(f"cannot read the token file {path}: {error}") from error


class RemoteImage:
    """An image to be asked about: what will be sent of it, and to which server it was."""

    def __init__(self, rgb: np.ndarray, jpeg: bool) -> None:
        self.height, self.width = rgb.shape[:2]
        self.sent: Any = File(_jpeg(rgb)) if jpeg else rgb
        self.name = fingerprint(self.sent)
        self.held_by = ""

    def body(self, fields: Dict[str, Any], server: str, lost: bool) -> bytes:
        along = lost or self.held_by != server
        self.held_by = server  # if it does not arrive, the server will say so
        return wire.pack({"image": self.name, **fields}, [self.sent] if along else [])


class RemoteGrounder:
    """Not thread-safe. `health` may be read from any thread."""

    def __init__(self, line: Line, about: Dict[str, Any], jpeg: bool = False) -> None:
        """about: what the server says of its model. Raises WireError."""
        self._line, self._jpeg = line, jpeg
        self._able = values.capabilities_of(about.get("capabilities")) | {Capability.OWN_BELIEF}
        self._threshold = wire.number(about.get("threshold"), "threshold")
        self._min_confidence = wire.number(about.get("min_confidence"), "min_confidence")
        words = about.get("vocabulary")
        listed = None if words is None else wire.items(words, "vocabulary", values.MAX_WORDS)
        self._vocabulary = None if listed is None else frozenset(wire.text({"word": w}, "word") for w in listed)

    @classmethod
    def open(cls, address: str, token: Optional[str] = None, robot: str = "") -> "RemoteGrounder":
        """Ask a server what it can do.

        address: of one server or several with commas between them; options as in the module.
        token: None: from the file that CLUE_TOKEN_FILE names.
        robot: its name, 1 to 64 characters; '': one of its own. Robots take turns by it.

        Raises ModelLoadError naming what is wrong, also when no server answers in time.
        """
        servers, options = parse_address(address)
        token = read_token(os.environ.get(TOKEN_FILE)) if token is None else token
        patience = float(options.get("patience", PATIENCE_S))
        line = Line(servers, token, robot or f"{socket.gethostname()[:40]}-{secrets.token_hex(4)}", patience)
        try:
            return cls(line, line.about(patience), options.get("image") == "jpeg")
        except (ModelUnavailableError, wire.WireError, ValueError) as error:
            raise ModelLoadError(f"{address}: {error}") from error

    @property
    def health(self) -> Health:
        """The server that was asked last, how long it takes, and since when it is away."""
        return self._line.health

    @property
    def servers(self) -> Tuple[str, ...]:
        return tuple(self._line.servers)

    @property
    def capabilities(self) -> FrozenSet[Capability]:
        """Those of the model there, without BACKBONE and BELIEF; OWN_BELIEF: the server keeps the belief."""
        return frozenset(self._able)

    @property
    def threshold(self) -> float:
        return self._threshold

    @property
    def min_confidence(self) -> float:
        return self._min_confidence

    @property
    def vocabulary(self) -> Optional[FrozenSet[str]]:
        return self._vocabulary

    @property
    def backbone(self) -> "Backbone":
        """Raises MissingCapabilityError: it is elsewhere."""
        raise MissingCapabilityError(Capability.BACKBONE)

    def encode(self, image: Any) -> RemoteImage:
        """Sends nothing yet: the image goes with the first question about it, which spares a round trip."""
        return image if isinstance(image, RemoteImage) else RemoteImage(as_rgb(image), self._jpeg)

    def look(self, image: Any) -> RemoteImage:
        """The server sees the image now. Raises ModelUnavailableError at once: nobody waits for this."""
        seen = self.encode(image)
        self._ask("see", seen, {"ahead": True}, patience_s=0.0)
        return seen

    def ground(
        self,
        image: Any,
        expression: str,
        turns: Sequence[Turn] = (),
        *,
        pointing: Optional[Answer] = None,
        question_policy: str = "learned",
        may_ask: bool = True,
        threshold: Optional[float] = None,
        candidates: Sequence[Box] = (),
        min_confidence: Optional[float] = 0.0,
        should_stop: StopTest = None,
        mask: bool = False,
    ) -> Decision:
        """As BeliefGrounder.ground on the server. Raises also ModelUnavailableError, ModelFailedError."""
        said = self._words(expression, turns)
        said.update(
            may_ask=may_ask, threshold=threshold, candidates=values.boxes_said(candidates), mask=mask,
            min_confidence=min_confidence, pointing=values.answer_said(pointing), policy=question_policy,
        )  # fmt: skip
        fields, arrays = self._ask("answer" if turns else "ground", image, said, should_stop)
        return values.decision_of(fields, arrays, expression)

    def detect_ambiguity(
        self,
        image: Any,
        expression: str,
        turns: Sequence[Turn] = (),
        *,
        threshold: Optional[float] = None,
        should_stop: StopTest = None,
    ) -> Ambiguity:
        said = {**self._words(expression, turns), "threshold": threshold}
        fields, arrays = self._ask("ambiguity", image, said, should_stop)
        return values.ambiguity_of(fields.get("ambiguity"), arrays[0] if arrays else None)

    def chat(self, image: Any, question: str, *, should_stop: StopTest = None) -> GroundedAnswer:
        fields, _ = self._ask("chat", image, {"question": question}, should_stop)
        return values.chat_of(fields, question)

    def target_mask(self, image: Any, expression: str, turns: Sequence[Turn], box: Box) -> np.ndarray:
        require(self.capabilities, Capability.MASKS)
        said = {**self._words(expression, turns), "box": values.boxes_said([box])[0]}
        return self._ask("mask", image, said)[1][0]

    def relevance(self, image: Any, instruction: str, turns: Sequence[Turn] = ()) -> np.ndarray:
        require(self.capabilities, Capability.RELEVANCE)
        return self._ask("relevance", image, self._words(instruction, turns))[1][0]

    def readings(self, image: Any, expression: str, turns: Sequence[Turn] = ()) -> Readings:
        require(self.capabilities, Capability.READINGS)
        said = self._ask("readings", image, self._words(expression, turns))[0]
        three = [wire.number(n, "readings") for n in wire.items(said.get("readings"), "readings", 3)]
        return Readings(*three)

    def warm_up(self) -> None:
        """Nothing: the server warmed itself up."""

    def close(self) -> None:
        self._line.close()

    def _words(self, expression: str, turns: Sequence[Turn]) -> Dict[str, Any]:
        """Checked here, so that what cannot be asked costs no round trip."""
        check_expression(expression)
        return {"expression": expression, "turns": values.turns_said(check_turns(turns))}

    def _ask(
        self, verb: str, image: Any, fields: Dict[str, Any], should_stop: StopTest = None,
        patience_s: Optional[float] = None,
    ) -> Tuple[Dict[str, Any], List[Any]]:  # fmt: skip
        seen, line = self.encode(image), self._line
        return line.ask(verb, lambda lost: seen.body(fields, line.server, lost), should_stop, patience_s)


def parse_address(address: str) -> Tuple[List[str], Dict[str, str]]:
    """(servers, options) of "http://a:1,http://b:2?image=jpeg". Raises ModelLoadError."""
    servers, options = [], {}
    for part in address.split(","):
        url = urlsplit(part.strip())
        try:
            port = url.port
        except ValueError as error:
            raise ModelLoadError(f"{part.strip()}: {error}") from error
        if url.scheme not in ("http", "https") or not url.hostname or url.username or url.path not in ("", "/"):
            raise ModelLoadError(f"{part.strip()[:80]!r} is no address of a server: give http://HOST:PORT")
        servers.append(f"{url.scheme}://{url.netloc}" + ("" if port else ":8780"))
        options.update(parse_qsl(url.query))
    wrong = set(options) - {"image", "patience"}
    if wrong or options.get("image", "raw") not in ("raw", "jpeg"):
        raise ModelLoadError(f"{address}: after ? there may be image=raw or image=jpeg, and patience=SECONDS")
    try:
        float(options.get("patience", PATIENCE_S))
    except ValueError as error:
        raise ModelLoadError(f"{address}: patience is no number of seconds") from error
    return servers, options


def _jpeg(rgb: np.ndarray) -> bytes:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done
    return data.tobytes()
