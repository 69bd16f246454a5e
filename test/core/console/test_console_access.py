"""Who may open the console."""

from __future__ import annotations

import socket

import pytest

from clue_ros.console.access import Access, AccessError, Allowance, check_bind, is_loopback, local_address

TOKEN = "0123456789abcdef-XY_"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_this_machine_alone_needs_nothing(address):
    assert is_loopback(address)
    check_bind(address, "", False)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.7", "10.0.0.1", "robot.local", ""])
def test_others_need_a_token_or_a_word(address):
    with pytest.raises(AccessError, match="token.*allow_open"):
        check_bind(address, "", False)
    check_bind(address, TOKEN, False)
    check_bind(address, "", True)


@pytest.mark.parametrize(
    "token", ["short", "with blanks in it, long enough", "üüüüüüüüüüüüüüüüüüüü", "a&b=c?d#e/f0123456789"]
)
def test_a_token_is_long_and_fits_an_address(token):
    with pytest.raises(AccessError, match="token"):
        check_bind("127.0.0.1", token, False)


@pytest.mark.parametrize("host", ["localhost", "localhost:8765", "127.0.0.1:8765", "[::1]:8765", "192.168.0.9",
                                  "robot.lab:80", socket.gethostname()])  # fmt: skip
def test_own_names(host):
    assert Access(allowed_hosts=["Robot.Lab"]).host_is_ours(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "localhost.evil.example",
        "",
        "127.0.0.1.evil.example",
        "user@localhost",
        "local host",
        "[::1",
        "x" * 400,
    ],
)
def test_a_foreign_name_that_points_here_is_refused(host):
    access = Access()
    assert not access.host_is_ours(host) and not access.same_origin(f"http://{host}", host)


def test_origin():
    access = Access()
    assert access.same_origin("http://127.0.0.1:8765", "127.0.0.1:8765")
    assert access.same_origin("https://LOCALHOST:1", "localhost:1")
    for origin in (
        "http://127.0.0.1:9999",
        "http://evil.example",
        "null",
        "",
        "file://",
        "http://[::1",
        "http://127.0.0.1:8765@evil",
        None,
        "chrome-extension://abc",
        "http://localhost:8765",
    ):
        assert not access.same_origin(origin, "127.0.0.1:8765")


def test_token():
    access = Access(TOKEN)
    assert access.knows(TOKEN)
    for wrong in ("", None, TOKEN[:-1], TOKEN + "x", "ü\ud800"):
        assert not access.knows(wrong)
    assert Access().knows(None) and Access().knows("whatever")


def test_allowance_is_a_rate_with_a_burst():
    now = [0.0]
    allowance = Allowance(5, clock=lambda: now[0])
    assert [allowance.take() for _ in range(7)] == [True] * 5 + [False] * 2
    now[0] += 0.4
    assert [allowance.take() for _ in range(3)] == [True, True, False]
    now[0] += 100
    assert sum(allowance.take() for _ in range(50)) == 5


def test_where_a_browser_finds_it():
    assert local_address("0.0.0.0", 5) == ("127.0.0.1", 5)
    assert local_address("::1", 5) == ("[::1]", 5) and local_address("10.0.0.1", 5) == ("10.0.0.1", 5)
