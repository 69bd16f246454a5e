"""The shared-memory profile stands under the name that the Fast DDS in use reads, in Python and in the shell alike."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clue_ros.ros.running.dds_profile import (
    DISTRIBUTIONS_WITH_OLD,
    NEW,
    OLD,
    profile_path,
    profile_variables,
    variables_read,
)

ROOT = Path(__file__).resolve().parents[2]
PROFILE = str(profile_path())


@pytest.mark.parametrize("distribution, read", [("humble", OLD), ("jazzy", OLD), ("kilted", NEW), ("rolling", NEW)])
def test_each_distribution_gets_the_name_that_it_reads(distribution, read):
    assert profile_variables({"ROS_DISTRO": distribution}) == {read: PROFILE}


@pytest.mark.parametrize(
    "library, read", [("libfastrtps.so.2.14", (OLD,)), ("libfastdds.so.3.2", (NEW,)), ("libcyclonedds.so", (NEW, OLD))]
)
def test_wheels_are_told_apart_by_their_library(tmp_path, library, read):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / library).touch()
    assert variables_read({}, tmp_path) == read


@pytest.mark.parametrize("distribution, read, other", [("jazzy", OLD, NEW), ("kilted", NEW, OLD)])
def test_a_profile_that_somebody_chose_stays(distribution, read, other):
    mine = {"ROS_DISTRO": distribution}
    assert profile_variables({**mine, read: "/mine.xml"}) == {}
    assert profile_variables({**mine, other: "/mine.xml"}) == {read: "/mine.xml"}
    assert profile_variables({**mine, read: "/mine.xml", other: "/older.xml"}) == {}
    assert profile_variables({**mine, read: ""}) == {read: PROFILE}


def in_the_shell(**environment):
    """The two variables after sourcing scripts/env.sh."""
    clean = {name: value for name, value in os.environ.items() if name not in (NEW, OLD, "ROS_DISTRO", "CLUE_ROS")}
    command = f'source scripts/env.sh; echo "{NEW}=${{{NEW}-}}"; echo "{OLD}=${{{OLD}-}}"'
    said = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
        env={**clean, "CLUE_VENV": sys.prefix, **environment},
    )
    pairs = (line.split("=", 1) for line in said.stdout.splitlines())
    return {name: value for name, value in pairs if value}


@pytest.mark.parametrize("distribution", [*DISTRIBUTIONS_WITH_OLD, "kilted", "rolling"])
def test_the_shell_decides_as_python_does(distribution):
    environment = {"ROS_DISTRO": distribution}
    assert in_the_shell(**environment) == profile_variables(environment)


def test_the_shell_keeps_a_chosen_profile_and_knows_the_wheels():
    assert in_the_shell(ROS_DISTRO="jazzy", **{NEW: "/mine.xml"}) == {NEW: "/mine.xml", OLD: "/mine.xml"}
    assert in_the_shell(CLUE_ROS="jazzy") == {OLD: PROFILE} and in_the_shell() == {NEW: PROFILE}
