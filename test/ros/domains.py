"""A ROS domain for each test: none that was used a while ago, and nobody lives in it, neither before nor after.

A participant that a test leaves behind (a node that is not destroyed, a process that is not ended) would answer a later
test in the same domain, seconds or minutes after. So domains go round, and who stays is an error of the test it is of.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import random
import socket
import time
from pathlib import Path
from typing import Iterator, Set

import pytest

DOMAINS = 100  # 1 to 100: the ports of those above lie where Linux takes ports of its own
LOCKS = (
    32768  # + domain: domain_coordinator and rmw_test_fixture hold a domain by this TCP port, here and in other runs
)
GRACE_S = 60.0  # for what a test has ended and not waited for
_round = itertools.count(random.randrange(DOMAINS))


@contextlib.contextmanager
def isolated() -> Iterator[int]:
    """ROS_DOMAIN_ID is a domain of its own. AssertionError at the end if a participant stays behind in it."""
    with _held() as number:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ROS_DOMAIN_ID", str(number))
            yield number
        end = time.monotonic() + GRACE_S
        while participants(number):
            if os.environ.get("CLUE_ROS") == "jazzy":
                gc.collect()  # its rclpy keeps a node whose making failed, or that is destroyed, in a cycle
            assert time.monotonic() < end, (
                f"this test leaves a DDS participant behind in domain {number} (UDP ports {participants(number)}): "
                "destroy its nodes, and wait for the processes that it ends"
            )
            time.sleep(0.02)


@contextlib.contextmanager
def _held() -> Iterator[int]:
    for number in itertools.islice(_round, DOMAINS):
        number = number % DOMAINS + 1
        with socket.socket() as lock:
            try:
                lock.bind(("127.0.0.1", LOCKS + number))
            except OSError:
                continue
            if not participants(number):
                yield number
                return
    raise RuntimeError(f"none of the {DOMAINS} domains is free")


def participants(domain: int) -> Set[int]:
    """The UDP ports on which this machine's DDS participants of a domain listen: 7400 + 250 * domain and on."""
    first = 7400 + 250 * domain
    lines = Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]
    return {int(line.split()[1].split(":")[1], 16) for line in lines} & set(range(first, first + 250))
