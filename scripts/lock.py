#!/usr/bin/env python3
"""Writes requirements/constraints.txt: the versions of everything that the direct pins pull in.

    scripts/lock.py python3.10 python3.11 python3.12 python3.13            what is pinned stays where it still fits
    scripts/lock.py --upgrade python3.10 python3.11 python3.12 python3.13  the newest of everything

Asks each interpreter's pip (a throw-away environment, nothing is installed in it) what it would install for
requirements/*.txt. Every version must admit the FIRST patch release of that minor version (3.11.0 for 3.11), because a
distribution keeps the patch release it was made with: Ubuntu 22.04 began with 3.10.4, Debian 12 has 3.11.2, Ubuntu
24.04 3.12.3. Versions that differ between interpreters get a python_version marker. Run it after changing a direct pin,
with every interpreter that is supported.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
CONSTRAINTS = REQUIREMENTS / "constraints.txt"
PIP = "26.3"
# What only the CUDA build of torch pulls in: pinned by torch itself.
BELONGS_TO_TORCH = re.compile(r"(nvidia|cuda)-|triton$|torch$|pip$")
HEADER = """\
# Everything that the direct pins in this folder pull in, pinned as well (pip's -c option).
# Made by scripts/lock.py for Python {} and later patch releases; do not edit by hand.
"""


class PinError(Exception):
    """A pin does not fit a Python version that is claimed; the text says which and what to do."""


def resolve(interpreter: str, upgrade: bool) -> "tuple[str, dict]":
    """(python version "3.X", {normalised name: version}) of what pip would install for all requirement files."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([interpreter, "-m", "venv", folder], check=True)
        python, report, limits = f"{folder}/bin/python", Path(folder, "report.json"), Path(folder, "limits.txt")
        subprocess.run([python, "-m", "pip", "install", "-q", f"pip=={PIP}"], check=True)
        files = [part for path in direct_files() for part in ("-r", str(path))]

        def ask_pip(lines: "list[str]") -> dict:
            limits.write_text("\n".join(lines), encoding="utf-8")
            subprocess.run(
                [
                    python,
                    "-m",
                    "pip",
                    "install",
                    "-q",
                    "--dry-run",
                    "--prefer-binary",
                    "--report",
                    str(report),
                    "-c",
                    str(limits),
                    *files,
                ],
                check=True,
            )
            return json.loads(report.read_text(encoding="utf-8"))

        return read_report(
            fitting_report(ask_pip, [] if upgrade else CONSTRAINTS.read_text(encoding="utf-8").splitlines())
        )


def fitting_report(ask: "Callable[[list[str]], dict]", limits: "list[str]") -> dict:
    """The first report under `limits` (lines of a constraints file) that the minor version's first patch release
    admits.

    ask: pip's report for such lines. Raises PinError where a direct pin is in the way.
    """
    while True:
        report = ask(limits)
        too_new = needing_a_later_patch(report)
        if not too_new:
            check_markers(report)
            return report
        for name, version, needs in too_new:
            if name in directly_pinned():
                raise PinError(f"{name}=={version} needs Python {needs}: pin another version of it in requirements/")
            print(f"{name} {version} needs Python {needs}: an older one is looked for", flush=True)
            limits = [line for line in limits if normalised(re.split(r"[=<>!; \[]", line, maxsplit=1)[0]) != name]
            limits.append(f"{name}<{version}")


def first_patch(report: dict) -> str:
    return f"{report['environment']['python_version']}.0"


def needing_a_later_patch(report: dict) -> "list[tuple[str, str, str]]":
    """(name, version, Requires-Python) of what a report would install and the first patch release does not admit."""
    every = (
        (normalised(item["metadata"]["name"]), item["metadata"]["version"], item["metadata"].get("requires_python", ""))
        for item in report["install"]
    )
    return [(name, version, needs) for name, version, needs in every if first_patch(report) not in SpecifierSet(needs)]


def check_markers(report: dict) -> None:
    """Raises PinError if a package wants something on the first patch release only, which pip, on a later one, left
    out.
    """
    first = {"python_full_version": first_patch(report)}
    found = {normalised(item["metadata"]["name"]) for item in report["install"]}
    for item in report["install"]:
        for line in item["metadata"].get("requires_dist", []):
            need = Requirement(line)
            if need.marker is None or normalised(need.name) in found:
                continue
            if any(
                need.marker.evaluate({**first, "extra": extra}) for extra in ("", *item.get("requested_extras", []))
            ):
                raise PinError(
                    f"{item['metadata']['name']} needs {need} on Python {first_patch(report)}: pin {need.name} directly"
                )


def minor(version: str) -> int:
    return int(version.split(".")[1])


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def read_report(report: dict) -> "tuple[str, dict]":
    versions = {normalised(item["metadata"]["name"]): item["metadata"]["version"] for item in report["install"]}
    return report["environment"]["python_version"], versions


def direct_files() -> list:
    return [REQUIREMENTS / name for name in ("core.txt", "test.txt", "docs.txt", "lint.txt", "ros-kilted.txt")]


def directly_pinned() -> set:
    text = "\n".join(path.read_text(encoding="utf-8") for path in direct_files())
    names = re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==", text, flags=re.MULTILINE)
    return {normalised(name) for name in names}


def constraint_lines(resolutions: "dict[str, dict]") -> list:
    """One line a package and version, with a marker where the interpreters differ."""
    lines, skip = [f"pip=={PIP}"], directly_pinned()
    for name in sorted(set().union(*resolutions.values())):
        if name in skip or BELONGS_TO_TORCH.match(name):
            continue
        pythons = {}
        for python, versions in sorted(resolutions.items(), key=lambda item: minor(item[0])):
            if name in versions:
                pythons.setdefault(versions[name], []).append(python)
        if len(pythons) == 1:
            lines.append(f"{name}=={next(iter(pythons))}")
            continue
        for version, users in pythons.items():
            marker = " or ".join(f'python_version == "{python}"' for python in users)
            lines.append(f"{name}=={version}; {marker}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "interpreters",
        nargs="+",
        metavar="PYTHON",
        help="one interpreter of each minor version; a report "
        "made before (pip install --dry-run --report FILE.json) may stand for one",
    )
    parser.add_argument("--upgrade", action="store_true", help="forget the versions in constraints.txt")
    arguments = parser.parse_args()
    resolutions = {}
    for name in arguments.interpreters:
        if name.endswith(".json"):
            report = json.loads(Path(name).read_text(encoding="utf-8"))
            if needing_a_later_patch(report):
                raise PinError(f"{name}: (package, version, Requires-Python) = {needing_a_later_patch(report)}")
            version, found = read_report(report)
        else:
            version, found = resolve(name, arguments.upgrade)
        resolutions[version] = found
    text = (
        HEADER.format(", ".join(f"{version}.0" for version in sorted(resolutions, key=minor)))
        + "\n".join(constraint_lines(resolutions))
        + "\n"
    )
    CONSTRAINTS.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PinError as error:
        sys.exit(f"lock: {error}")
