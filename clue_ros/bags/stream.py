"""A bag's messages as events of the replay, with words that are not in the bag among them, in the order of their
time.
"""

from __future__ import annotations

import functools
import heapq
import math
from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.bags.events import NS, Event, Frame, Heard, Pointed
from clue_ros.bags.reading import Bag, Message, Topics
from clue_ros.bags.said import Said, times
from clue_ros.bags.truth import Truth, parse_truth
from clue_ros.images.messages import message_to_rgb
from clue_ros.types import Answer


def words_of(bag: Bag, topics: Topics, said: Sequence[Said] = ()) -> Tuple[List[Heard], List[Truth]]:
    """Everything said, and the truths; a quick pass, for these topics are small. Raises BagError."""
    truths = [
        parse_truth(bag.decode(message).data, f"message {n} on {topics.truth}", message.time)
        for n, message in enumerate(bag.messages([topics.truth] if topics.truth else []), 1)
    ]
    spoken = [] if topics.speech is None else [topics.speech]
    words = _numbered(_with(said, bag, (_heard(bag, message) for message in bag.messages(spoken))))
    return [event for event in words if isinstance(event, Heard)], truths


def events_of(bag: Bag, topics: Topics, said: Sequence[Said] = (), sample_bits: int = 0) -> Iterator[Event]:
    """Frames, words and gestures in the order in which they were recorded, as Replay takes them; no frame is decoded
    yet.

    said: words beside the recorded ones; of the same time they come behind them. sample_bits: as the node's.
    """
    return _numbered(_with(said, bag, _recorded(bag, topics, sample_bits)))


def seconds_of(time: int, start: int) -> float:
    """ns -> seconds from the bag's start, to the millisecond."""
    return round((time - start) / NS, 3)


def header_stamp(data: bytes) -> int:
    """The stamp (ns) of a CDR message whose first field is a std_msgs/Header; 0 if it is too short to have one."""
    order = "little" if len(data) > 1 and data[1] & 1 else "big"
    if len(data) < 12:
        return 0
    return int.from_bytes(data[4:8], order, signed=True) * NS + int.from_bytes(data[8:12], order)


def header_frame(data: bytes) -> str:
    """The frame_id of such a message."""
    order = "little" if len(data) > 1 and data[1] & 1 else "big"
    length = int.from_bytes(data[12:16], order)
    return data[16 : 16 + max(0, length - 1)].decode("utf-8", "replace")


def _recorded(bag: Bag, topics: Topics, sample_bits: int) -> Iterator[Event]:
    optical: Optional[str] = None  # the frame of the newest image
    for message in bag.messages([name for name in topics.all if name != topics.truth]):
        if message.topic == topics.speech:
            yield _heard(bag, message)
        elif message.topic == topics.point:
            yield _pointed(bag, message, optical)
        else:
            optical = header_frame(message.data)
            rgb = functools.partial(_pixels, bag, message, sample_bits)
            yield Frame(message.time, header_stamp(message.data), rgb)


def _pixels(bag: Bag, message: Message, sample_bits: int) -> np.ndarray:
    return message_to_rgb(bag.decode(message), sample_bits)


def _heard(bag: Bag, message: Message) -> Heard:
    return Heard(message.time, bag.decode(message).data, -1)


def _pointed(bag: Bag, message: Message, optical: Optional[str]) -> Pointed:
    """By the rule of ros/serving/pointing.py: in the image's own frame, or without one, a z of 0 means pixels."""
    decoded = bag.decode(message)
    frame, point = decoded.header.frame_id.lstrip("/"), decoded.point
    if not all(math.isfinite(value) for value in (point.x, point.y, point.z)):
        return Pointed(message.time, None, "its coordinates are not finite")
    if frame not in ("", optical) or point.z != 0:
        return Pointed(
            message.time, None, "it is not in pixels of the image (z = 0 in its frame), and no others are replayed"
        )
    return Pointed(message.time, Answer(point=(float(point.x), float(point.y))))


def _with(said: Sequence[Said], bag: Bag, events: Iterator[Event]) -> Iterator[Event]:
    more = [Heard(at, one.words, -1) for one, at in zip(said, times(said, bag.start, bag.end))]
    return heapq.merge(events, sorted(more, key=lambda heard: heard.time), key=lambda event: event.time)


def _numbered(events: Iterator[Event]) -> Iterator[Event]:
    count = 0
    for event in events:
        if isinstance(event, Heard):
            event, count = event._replace(index=count), count + 1
        yield event
