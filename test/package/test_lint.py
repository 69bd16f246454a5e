"""What `make lint` runs: rules, format, types of the core. `make test` brings the tools (requirements/lint.txt)."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("ruff", "basedpyright")

# Without them only where somebody runs pytest in an environment of their own, never in CI or by `make test`.
missing = [name for name in TOOLS if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(missing) and not os.environ.get("CI"), reason=f"make setup-with-lint: {missing}")


def run(*words):
    answer = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, end_of(answer.stdout + answer.stderr)


def end_of(text):
    return "\n".join(text.splitlines()[-60:])


def test_rules():
    run("ruff", "check", "--output-format", "concise", ".")


def test_format():
    run("ruff", "format", "--check", ".")


def test_types_of_the_core(type_check):
    code, said = type_check.wait()
    assert code == 0, end_of(said)


def test_what_is_checked_is_the_whole_core():
    settings = json.loads((ROOT / "pyrightconfig.json").read_text(encoding="utf-8"))
    assert settings == {
        "include": ["clue_ros"],
        "exclude": ["clue_ros/ros"],
        "typeCheckingMode": "basic",
        "pythonVersion": "3.10",
    }


def test_no_error_is_silenced_without_its_rule_and_a_reason():
    """`# pyright: ignore[rule]  # why`, never a bare one, and no `# type: ignore`."""
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "clue_ros").rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for silenced in [line.partition("# pyright:")[2]]
        if "# type: ignore" in line or (silenced and not silenced.partition("]  # ")[2])
    ]
    assert not wrong
