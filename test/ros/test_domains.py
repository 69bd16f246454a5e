"""Where tests are alone (domains.py): in a domain that goes round, with nobody in it before and after."""

import os
import socket

import domains
import pytest
import rclpy
from domains import DOMAINS, LOCKS, isolated, participants
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions


def taken() -> int:
    with isolated() as number:
        assert os.environ["ROS_DOMAIN_ID"] == str(number)
        return number


def test_a_domain_comes_again_when_the_others_were_there(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    numbers = [taken() for _ in range(DOMAINS // 2)]  # the rest is for what another run holds
    assert len(set(numbers)) == len(numbers) and set(numbers) <= set(range(1, DOMAINS + 1))
    assert os.environ["ROS_DOMAIN_ID"] == "7"


def test_a_domain_that_somebody_holds_or_lives_in_is_left_out(monkeypatch):
    held, lived_in, free = numbers = [taken() for _ in range(3)]
    monkeypatch.setattr(domains, "_round", iter([number - 1 for number in numbers]))
    with socket.socket() as lock, socket.socket(type=socket.SOCK_DGRAM) as participant:
        lock.bind(("", LOCKS + held))  # as domain_coordinator
        participant.bind(("", 7410 + 250 * lived_in))
        assert taken() == free


def test_who_stays_behind_is_an_error_of_that_test(monkeypatch):
    monkeypatch.setattr(domains, "GRACE_S", 0.1)
    with pytest.raises(AssertionError, match="leaves a DDS participant behind in domain"), isolated() as number:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = Node("stays")
    assert participants(number)
    node.destroy_node()
    rclpy.try_shutdown()
    assert not participants(number)
