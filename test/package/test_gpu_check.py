"""scripts/gpu_check.sh without a GPU: what it would run, how it goes on after an interruption, and its goals."""

import json
import os
import shlex
import subprocess
import tarfile
from pathlib import Path

import pytest

from clue_ros.cli.main import build_parser
from clue_ros.lab.doctor.goals import main as goals

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = """#!/usr/bin/env bash
echo "$*" >>"$CALLS"
case "$*" in *"$BREAKS"*) exit "$CODE" ;; esac
"""


def run(tmp_path, *arguments, breaks="nothing", code=0, **variables):
    """(exit code, output, what was called in this run)."""
    stand_in, calls = tmp_path / "run.sh", tmp_path / "calls"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    calls.write_text("")
    environment = {
        **os.environ,
        "GPU_CHECK_RUN": str(stand_in),
        "CALLS": str(calls),
        "BREAKS": breaks,
        "CODE": str(code),
        "OUT": str(tmp_path / "found"),
        **variables,
    }
    done = subprocess.run(
        [str(ROOT / "scripts" / "gpu_check.sh"), *arguments],
        capture_output=True, text=True, timeout=300, env=environment,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr, calls.read_text().splitlines()


def test_a_dry_run_says_what_it_would_do_and_every_command_exists(tmp_path):
    code, output, calls = run(tmp_path, "--dry-run", DEVICE="cuda:1", MODEL="my model")
    assert code == 0 and not calls and not (tmp_path / "found").exists()
    commands = [shlex.split(line)[3:] for line in output.splitlines() if "run.sh" in line and " clue " in line]
    assert [c[1:3] for c in commands] == [["clue", "doctor"], ["clue", "doctor"], ["clue", "bench"], ["clue", "doctor"]]
    for command in commands:
        parsed = build_parser(command[2:])[0].parse_args(command[2:])
        assert parsed.verb in ("doctor", "bench") and "cuda:1" in command
    assert commands[-1][4] == "my model"
    (choice,) = (line.split(" -k ")[1].split()[0] for line in output.splitlines() if " pytest " in line)
    assert any(f"def test_{choice}" in file.read_text() for file in (ROOT / "test" / "core").rglob("test_*.py"))
    seconds = sum(int(line.split()[1]) for line in output.splitlines() if " s  " in line)
    assert seconds <= 20 * 60, "at the worst twice what it promises"


def test_it_goes_on_where_it_was_interrupted(tmp_path):
    code, output, calls = run(tmp_path, breaks="--model 3b", code=137)
    assert code == 1 and "doctor_3b: exit code 137" in output and len(calls) >= 6
    code, output, calls = run(tmp_path)
    assert code == 0 and "doctor_embedded: done before, exit code 0" in output
    (again,) = calls
    assert "doctor --model 3b" in again
    assert run(tmp_path)[2] == [] and len(run(tmp_path, FRESH="1")[2]) >= 6


def test_a_difference_is_a_result_that_counts_and_is_packed(tmp_path):
    assert run(tmp_path, breaks="--model 3b", code=1)[0] == 1
    code, output, calls = run(tmp_path)
    assert code == 1 and not calls and "doctor_3b: done before, exit code 1" in output
    with tarfile.open(tmp_path / "found.tar.gz") as packed:
        assert {"found/doctor_3b.rc", "found/doctor_3b.log"} <= set(packed.getnames())


@pytest.mark.parametrize("box, code", [(0.034, 0), (0.036, 1)])
def test_the_goals_of_a_gpu(tmp_path, capsys, box, code):
    rows = [
        {"id": name, "model": "3b", "device": "cuda", "detector": "cnn", "ours": {"p50": seconds}}
        for name, seconds in (("box", box), ("detection", 0.0099), ("question", 0.06), ("vision", 9.0))
    ]
    file = tmp_path / "bench.json"
    file.write_text(json.dumps({"rows": rows}))
    assert goals([str(file)]) == code
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in out] == ["box", "detection", "question"]
    assert [line.split("≤")[1].strip()[:5] for line in out] == ["35 ms", "10 ms", "60 ms"]
    file.write_text(json.dumps({"rows": rows[3:]}))
    assert goals([str(file)]) == 2
