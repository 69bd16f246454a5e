"""`pip install .`: the core without ROS and the `clue` command. Metadata in setup.cfg, dependencies in
requirements/core.txt.
"""

from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent


def core_requirements():
    """The lines of requirements/core.txt, the one place where the core's dependencies are pinned."""
    lines = (ROOT / "requirements" / "core.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


setup(install_requires=core_requirements())
