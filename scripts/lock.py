#!/usr/bin/env python3
"""Writes requirements/constraints.txt: the versions of everything that the direct pins pull in.

    scripts/lock.py python3.10 python3.11 python3.12 python3.13

Asks each interpreter's pip (a throw-away environment, nothing is installed in it) what it would install for
requirements/*.txt. Versions that differ between interpreters get a python_version marker. Run it after changing a
direct pin, with every interpreter that is supported.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
PIP = "26.3"
# What only the CUDA build of torch pulls in: pinned by torch itself.
BELONGS_TO_TORCH = re.compile(r"(nvidia|cuda)-|triton$|torch$|pip$")
HEADER = """\
# Everything that the direct pins in this folder pull in, pinned as well (pip's -c option).
# Made by scripts/lock.py; do not edit by hand.
"""


def resolve(interpreter: str) -> "tuple[str, dict]":
    """(python version "3.X", {normalised name: version}) of what pip would install for all requirement files."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([interpreter, "-m", "venv", folder], check=True)
        python, report = f"{folder}/bin/python", Path(folder, "report.json")
        subprocess.run([python, "-m", "pip", "install", "-q", f"pip=={PIP}"], check=True)
        files = [part for path in direct_files() for part in ("-r", str(path))]
        subprocess.run([python, "-m", "pip", "install", "-q", "--dry-run", "--prefer-binary", "--report", str(report), *files],
                       check=True)
        return read_report(report)


def read_report(report: Path) -> "tuple[str, dict]":
    content = json.loads(report.read_text(encoding="utf-8"))
    versions = {re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(): item["metadata"]["version"]
                for item in content["install"]}
    return content["environment"]["python_version"], versions


def direct_files() -> list:
    return [REQUIREMENTS / name for name in ("core.txt", "test.txt", "docs.txt", "ros-kilted.txt")]


def directly_pinned() -> set:
    text = "\n".join(path.read_text(encoding="utf-8") for path in direct_files())
    names = re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==", text, flags=re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def constraint_lines(resolutions: "dict[str, dict]") -> list:
    """One line a package and version, with a marker where the interpreters differ."""
    lines, skip = [f"pip=={PIP}"], directly_pinned()
    for name in sorted(set().union(*resolutions.values())):
        if name in skip or BELONGS_TO_TORCH.match(name):
            continue
        pythons = {}
        for python, versions in sorted(resolutions.items(), key=lambda item: int(item[0].split(".")[1])):
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
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    # A report made before (pip install --dry-run --report FILE) may stand for an interpreter.
    resolutions = dict(read_report(Path(name)) if name.endswith(".json") else resolve(name) for name in sys.argv[1:])
    text = HEADER + "\n".join(constraint_lines(resolutions)) + "\n"
    (REQUIREMENTS / "constraints.txt").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
