"""The pins fit the oldest Python that the README claims: distributions keep the patch release that they began with."""

import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "requirements").glob("*.txt"))
SETUPS = ("setup", "setup-with-docs", "setup-with-lint", "setup-for-tests")
FIRST_PATCH = f"3.{sys.version_info.minor}.0"


def normalised(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins():
    """(name, version) of every pin that applies to this minor version."""
    found = {}
    for path in FILES:
        if path.name == "ros-jazzy.txt":
            continue  # another environment's
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.startswith("#"):
                pin = Requirement(line)
                if pin.marker is None or pin.marker.evaluate({"python_full_version": FIRST_PATCH}):
                    found[normalised(pin.name)] = str(pin.specifier).removeprefix("==")
    return found


def installed_pins():
    distributions = {normalised(found.metadata["Name"]): found for found in importlib.metadata.distributions()}
    return {name: distributions[name] for name in pins() if name in distributions}


def test_every_pin_admits_the_first_patch_release_of_this_python():
    refused = {}
    for name, distribution in installed_pins().items():
        needs = distribution.metadata.get("Requires-Python") or ""
        if FIRST_PATCH not in SpecifierSet(needs):
            refused[name] = needs
    assert not refused, f"Debian 12 has Python 3.11.2, Ubuntu 24.04 has 3.12.3; run scripts/lock.py: {refused}"
    assert len(installed_pins()) > 60


def test_nothing_is_needed_on_the_first_patch_release_only():
    """A dependency such as `async-timeout; python_full_version < "3.11.3"` is not installed on a later one: it needs a
    pin.
    """
    unpinned = set()
    for distribution in installed_pins().values():
        for line in distribution.requires or ():
            need = Requirement(line)
            if need.marker and need.marker.evaluate({"python_full_version": FIRST_PATCH, "extra": ""}):
                if not need.marker.evaluate({"extra": ""}) and normalised(need.name) not in pins():
                    unpinned.add(f"{distribution.metadata['Name']} needs {need}")
    assert not unpinned


def test_the_pins_were_resolved_for_every_python_that_is_claimed():
    claim = re.search(r"Python 3\.(\d+) to 3\.(\d+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    claimed = [f"3.{minor}.0" for minor in range(int(claim[1]), int(claim[2]) + 1)]
    header = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").splitlines()[1]
    assert re.findall(r"3\.\d+\.\d+", header) == claimed
    script = (ROOT / "scripts" / "setup.sh").read_text(encoding="utf-8")
    assert f"((3, {claim[1]}) <= sys.version_info[:2] <= (3, {claim[2]}))" in script
    setup_cfg = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert f"python_requires = >=3.{claim[1]}\n" in setup_cfg


def test_demo_and_robot_need_nothing_of_documentation_and_lint():
    """Its tools are installed by `make docs` and `make test` alone, formatter and type checker by `make lint` and
    `make test`.
    """
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    needs = dict(re.findall(r"^([a-z-]+):([a-z -]*)", makefile, re.MULTILINE))
    targets = {name: {target for target, words in needs.items() if name in words.split()} for name in SETUPS}
    assert targets["setup-with-docs"] == {"docs"}
    assert targets["setup-with-lint"] == {"lint"}
    assert targets["setup-for-tests"] == {"test"}
    assert targets["setup"] >= {"demo", "console"}
    for own, tool in (("docs.txt", "mkdocs"), ("lint.txt", "pyright")):
        others = [path for path in FILES if path.name not in (own, "constraints.txt")]
        assert not [path.name for path in others if tool in path.read_text(encoding="utf-8")]


@pytest.fixture
def lock():
    spec = importlib.util.spec_from_file_location("lock", ROOT / "scripts" / "lock.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report_of(*items, python="3.11"):
    """A report of pip (installation report version 1) with what the lock reads of it."""
    return {"environment": {"python_version": python}, "install": [{"metadata": item} for item in items]}


def test_the_lock_goes_back_to_a_version_for_the_first_patch_release(lock, capsys):
    released = {"13.1": ">=3.11.5", "13.0": ">=3.11.5", "12.3": ">=3.10"}
    asked = []

    def ask(limits):
        asked.append(list(limits))
        below = [line.split("<")[1] for line in limits if line.startswith("pymdown-extensions<")]
        version = next(version for version in released if all(float(version) < float(limit) for limit in below))
        return report_of(
            {"name": "pymdown_extensions", "version": version, "requires_python": released[version]},
            {"name": "six", "version": "1.17.0", "requires_python": "!=3.0.*,>=2.7"},
        )

    report = lock.fitting_report(ask, ["six==1.17.0", 'pymdown-extensions==13.1; python_version == "3.11"'])
    assert lock.read_report(report) == ("3.11", {"pymdown-extensions": "12.3", "six": "1.17.0"})
    assert len(asked) == 3 and asked[1] == ["six==1.17.0", "pymdown-extensions<13.1"]
    assert "pymdown-extensions 13.1 needs Python >=3.11.5" in capsys.readouterr().out


def test_the_lock_refuses_a_direct_pin_that_is_too_new(lock):
    with pytest.raises(lock.PinError, match=r"numpy==2\.4\.6 needs Python >=3\.11\.4"):
        lock.fitting_report(
            lambda limits: report_of({"name": "numpy", "version": "2.4.6", "requires_python": ">=3.11.4"}), []
        )


def test_the_lock_sees_what_only_the_first_patch_release_needs(lock):
    need = 'async-timeout>=4; python_full_version < "3.11.3"'
    with pytest.raises(lock.PinError, match="async-timeout"):
        lock.fitting_report(lambda limits: report_of({"name": "redis", "version": "6", "requires_dist": [need]}), [])
