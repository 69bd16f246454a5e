"""A recorded bag as a stream of messages in the order in which they were recorded. MCAP and sqlite3.

with Bag("recordings/kitchen") as bag:
    topics = choose_topics(bag, TopicNames())
    for message in bag.messages(topics.all):
        bag.decode(message)
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from clue_ros.bags.errors import BagError, MissingTopicError
from clue_ros.bags.formats import ADVICE, EMPTY, storage_of

IMAGE, COMPRESSED, STRING = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "std_msgs/msg/String"
POINT = "geometry_msgs/msg/PointStamped"
# Parts of a name that say that a topic is not the camera's picture, or not what a person said.
_NOT_A_PICTURE = ("depth", "mask", "debug", "infra", "disparity")
_NOT_SPEECH = ("utterance", "truth")
# What to do about a bag in which nobody speaks.
SAY = 'give the words with --say "the red mug@2.5" (at seconds from its start), or record them'


class Message(NamedTuple):
    """time: ns since the epoch at which the recorder got it; data: as it was on the wire (CDR)."""

    time: int
    topic: str
    type: str
    data: bytes


class Topic(NamedTuple):
    type: str
    count: int


@functools.lru_cache(maxsize=1)
def typestore():
    """The standard messages. The three that are read have the same fields in every ROS 2 distribution."""
    try:
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise BagError(f"bags need the Python package rosbags ({error}): pip install rosbags") from error
    return get_typestore(Stores.ROS2_KILTED)


class Bag:
    """An open bag: a folder with metadata.yaml, or one .mcap or .db3 file. A context manager.

    Raises BagError: not there, not a bag, empty, cut short; the text says what to do.
    """

    def __init__(self, path: Union[str, Path]):
        self.path = Path(path)
        typestore()  # says what to install before anything else
        from rosbags.rosbag2 import Reader

        file = storage_of(self.path)
        self._reader: Any = None
        try:
            self._reader = Reader(file)
            self._reader.open()
        except Exception as error:  # foreign code over a file that may be garbage: struct, sqlite3, zstd, yaml errors
            raise BagError(f"{file} does not open as a bag ({_text(error)}): {ADVICE}") from error
        self.topics: Dict[str, Topic] = {
            name: Topic(info.msgtype or "several types", info.msgcount) for name, info in self._reader.topics.items()
        }
        if not self._reader.message_count:
            self.close()
            raise BagError(f"{file} {EMPTY}")
        self.start: int = self._reader.start_time
        self.end: int = self._reader.end_time

    def __enter__(self) -> "Bag":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        if self._reader is not None and self._reader.is_open:
            self._reader.close()

    def messages(self, topics: Sequence[str]) -> Iterator[Message]:
        """The messages of these topics, earliest first. Raises BagError where the file is damaged."""
        wanted = [connection for connection in self._reader.connections if connection.topic in topics]
        if not wanted:
            return
        try:
            for connection, time, data in self._reader.messages(connections=wanted):
                yield Message(time, connection.topic, connection.msgtype, bytes(data))
        except Exception as error:  # as above, and only of the reader: what a consumer raises does not pass here
            raise BagError(f"{self.path} is damaged ({_text(error)}): {ADVICE}") from error

    def decode(self, message: Message) -> Any:
        """The message with its fields as attributes, arrays as numpy. Raises BagError if the bytes do not fit."""
        try:
            return typestore().deserialize_cdr(message.data, message.type)
        except Exception as error:  # generated code over bytes that may be garbage: struct, Unicode, index errors
            raise BagError(
                f"a message of {len(message.data)} bytes on {message.topic} is no valid {message.type} ({_text(error)})"
            ) from error


@dataclass(frozen=True)
class TopicNames:
    """What the user said; None: found by name and type."""

    image: Optional[str] = None
    speech: Optional[str] = None
    truth: Optional[str] = None
    point: Optional[str] = None


class Topics(NamedTuple):
    """images: of one camera, raw and compressed; the others: None if there is none."""

    images: Tuple[str, ...]
    speech: Optional[str]
    truth: Optional[str] = None
    point: Optional[str] = None

    @property
    def all(self) -> Tuple[str, ...]:
        return self.images + tuple(name for name in (self.speech, self.truth, self.point) if name)


def choose_topics(bag: Bag, names: TopicNames, *, mute: bool = False) -> Topics:
    """The camera, the speech, the truth and the gestures: as named, else by the node's own names, else (camera and
    speech) the only one that fits.

    A camera is `NAME`, `NAME/compressed` or both, as the node subscribes. mute: the words come from elsewhere; speech
    counts only by its name then. Raises MissingTopicError with a list of what is there.
    """
    cameras = [name for name, topic in bag.topics.items() if topic.type in (IMAGE, COMPRESSED)]
    if names.image is not None:
        base = _base(names.image)
        _require(bag, (base, base + "/compressed"), (IMAGE, COMPRESSED), names.image, "--image-topic")
    else:
        pictures = [name for name in cameras if not any(word in name.lower() for word in _NOT_A_PICTURE)]
        base = _only(bag, sorted({_base(name) for name in pictures}), "image", "camera image", "--image-topic")
    images = tuple(name for name in cameras if name in (base, base + "/compressed"))
    strings = [name for name, topic in bag.topics.items() if topic.type == STRING]
    speech: Optional[str]
    if names.speech is not None:
        speech = _require(bag, (names.speech,), (STRING,), names.speech, "--speech-topic")
    elif mute:
        speech = _named(strings, "speech")
    else:
        heard = [name for name in strings if not name.rsplit("/", 1)[-1].startswith(_NOT_SPEECH)]
        if not heard:
            raise MissingTopicError(f"the bag has no speech (std_msgs/String): {SAY}; {_listing(bag)}")
        speech = _only(bag, heard, "speech", "speech (std_msgs/String)", "--speech-topic")
    if names.truth is not None:
        truth: Optional[str] = _require(bag, (names.truth,), (STRING,), names.truth, "--truth-topic")
    else:
        truth = _named(strings, "truth")
    points = [name for name, topic in bag.topics.items() if topic.type == POINT]
    if names.point is not None:
        point: Optional[str] = _require(bag, (names.point,), (POINT,), names.point, "--point-topic")
    else:
        point = _named(points, "point")
    return Topics(images, speech, truth, point)


def _named(topics: Sequence[str], usual: str) -> Optional[str]:
    return next((name for name in topics if name.rsplit("/", 1)[-1] == usual), None)


def _require(bag: Bag, accepted: Sequence[str], types: Sequence[str], asked: str, option: str) -> str:
    there = [name for name in accepted if name in bag.topics]
    if not there:
        raise MissingTopicError(f"the bag has no topic {asked} ({option}); {_listing(bag)}")
    for name in there:
        if bag.topics[name].type in types:
            return name
    raise MissingTopicError(
        f"{there[0]} ({option}) is of type {bag.topics[there[0]].type}, it must be {' or '.join(types)};"
        f" {_listing(bag)}"
    )


def _only(bag: Bag, candidates: List[str], usual: str, what: str, option: str) -> str:
    """The candidate with the node's own name, else the only one."""
    named = [name for name in candidates if name == "/" + usual] or [
        name for name in candidates if name.endswith("/" + usual)
    ]
    found = named if len(named) == 1 else candidates
    if len(found) == 1:
        return found[0]
    if not found:
        raise MissingTopicError(f"the bag has no {what}: record it, or name it with {option}; {_listing(bag)}")
    raise MissingTopicError(
        f"the bag has {len(found)} topics that may be the {what}: name one with {option}; {_listing(bag)}"
    )


def _base(name: str) -> str:
    return name[: -len("/compressed")] if name.endswith("/compressed") else name


def _listing(bag: Bag) -> str:
    rows = ", ".join(f"{name} ({topic.type}, {topic.count})" for name, topic in sorted(bag.topics.items()))
    return f"it holds {rows}"


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
