"""`clue bench`: rows of a subject, its process, what is left out and why."""

import csv
import json
import os
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clue_ros.cli.main import main
from clue_ros.lab.bench import floor, machine, measure, rows, run
from clue_ros.lab.bench.machine import Rates, matmul_rate, measure_rates, read_bandwidth
from clue_ros.lab.bench.memory import peak, reset_peak
from clue_ros.lab.bench.order import Order, busy
from clue_ros.lab.bench.subject import Subject
from clue_ros.lab.bench.targets import TARGETS, judge
from clue_ros.lab.bench.timing import Samples, percentile

PICTURE = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def loaded(tiny_model_dir):
    return Subject.load(Order(str(tiny_model_dir)))


@pytest.fixture
def subject(loaded):
    """Without what another test left in it."""
    loaded._looks = None
    return loaded


def test_the_plain_path_says_and_sees_what_ours_does(subject):
    for mode, tap_rows in (("image_blind", "last"), ("full", "all")):
        way = subject.way(prefix_attention=mode, tap_rows=tap_rows)
        image = way.encode(PICTURE)
        detect, speak = way.prefix("detect", "the red mug"), way.prefix("clarify", "the red mug")
        ours = way.backbone.attention_map(image, detect)
        assert float(ours.std()) > 0.05
        assert torch.allclose(way.plain.attention_map(PICTURE, detect), ours, atol=1e-3)
        assert torch.allclose(way.plain.features(PICTURE), image.features, atol=1e-4)
        free = way.backbone.complete(image, speak, limit=6, adapter=way.settings.dialogue_adapter)
        marks = way.plain.run(PICTURE, detect, speak, len(free.tokens))
        assert marks.ids == free.tokens
        assert 0 < marks.attention < marks.until(1) < marks.until(len(free.tokens))


def test_every_row_of_a_subject_is_timed_judged_and_written(tiny_model_dir, tmp_path, capsys, monkeypatch):
    """In this process, which has torch already, and with a short look at the machine; the next two have the process."""

    def events_of(order, rounds, only=()):
        events = []
        measure.measure(order, rounds, lambda event: events.append(json.loads(json.dumps(event))), only)
        return events

    monkeypatch.setattr(run, "events_of", events_of)
    monkeypatch.setattr(measure, "measure_rates", partial(measure_rates, seconds=0.01))
    monkeypatch.setitem(machine.SQUARE, "cpu", 256)
    monkeypatch.setitem(machine.READ_BYTES, "cpu", 1 << 24)
    out = tmp_path / "results" / "bench.json"
    assert main(["bench", "--models", str(tiny_model_dir), "--device", "cpu", "--rounds", "1", "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["complete"] and not found["skipped"]
    by_id = {row["id"]: row for row in found["rows"]}
    assert set(by_id) == {
        "memory",
        "box",
        "vision",
        "detection",
        "decision",
        "question",
        "second_turn",
        "box_one_pass",
        "look",
        "seen_decision",
        "seen_box",
        "seen_question",
    }
    for name in ("box", "detection", "question", "second_turn", "box_one_pass"):
        row = by_id[name]
        assert row["ours"]["p50"] > 0 and row["plain"]["p50"] > 0 and row["floor_s"] > 0
        assert row["ratio"] == pytest.approx(row["ours"]["p50"] / row["plain"]["p50"])
    assert by_id["question"]["tokens"] >= 1 and by_id["memory"]["peak_bytes"] > by_id["memory"]["weight_bytes"]
    with out.with_suffix(".csv").open(newline="") as file:
        assert [line["id"] for line in csv.DictReader(file)] == [row["id"] for row in found["rows"]]
    assert found["subjects"][0]["rates"]["square"] > 0
    printed = capsys.readouterr().out
    assert "ambiguous instruction → question" in printed and "GFLOP/s" in printed


def test_events_come_from_a_process_as_they_are_made_and_its_end_has_a_reason(tmp_path, monkeypatch):
    worker = tmp_path / "python"
    worker.write_text("""#!/bin/sh
test "$1 $2" = "-m clue_ros.lab.bench.worker" || exit 9
case "$3" in *'"model": "embedded"'*'"only": ["box"]'*) ;; *) exit 8 ;; esac
echo '{"event": "plan", "rows": 1}'
read -r word < "$WAITED_FOR"
echo '{"event": "row", "id": "box"}'
echo "Traceback" >&2; echo "RuntimeError: it broke" >&2; echo >&2
test "$word" = fail && exit 3
kill -9 $$
""")
    worker.chmod(0o755)
    monkeypatch.setattr(run.sys, "executable", str(worker))
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    monkeypatch.setenv("WAITED_FOR", str(gate))
    for word, reason in (("fail", "the process ended with 3: RuntimeError: it broke"), ("die", "memory ran out")):
        events = run.events_of(Order("embedded"), None, ["box"])
        assert next(events) == {"event": "plan", "rows": 1}  # while the process still waits
        gate.write_text(f"{word}\n")
        row, skip = events
        assert row == {"event": "row", "id": "box"} and skip["event"] == "skip" and reason in skip["reason"]


def test_too_little_memory_is_a_reason_and_not_a_crash(monkeypatch):
    monkeypatch.setattr(measure, "available_memory", lambda device: 2_000_000_000)
    events = []
    measure.measure(Order("3b"), 1, events.append)
    (event,) = events
    assert event["event"] == "skip" and "memory is short" in event["reason"] and "2.0 GB are free" in event["reason"]


def test_a_slow_model_is_timed_once_and_shares_its_looks(subject, monkeypatch):
    monkeypatch.setattr(measure, "SLOW", 0.0)
    events = []
    measure._Run(subject, Rates("float32", 1e9, 1e9, 1e9, 1e9, 1e9), events.append, None, []).all()
    found = {e["id"]: e for e in events if e["event"] == "row"}
    assert {"box", "detection", "question", "second_turn", "seen_decision"} <= set(found) and "look" not in found
    assert all(len(row["ours"]["seconds"]) == 1 for row in found.values() if row["id"] != "memory")
    assert found["box"]["tokens"] == 4 or found["box"]["outcome"] == "not_found"
    assert found["second_turn"]["plain"] is None and found["question"]["plain"]["p50"] > 0
    events.clear()
    measure._Run(subject, Rates("float32", 1e9, 1e9, 1e9, 1e9, 1e9), events.append, None, ["nonsense"]).all()
    assert [e["event"] for e in events] == ["skip"] and "its rows are box, vision" in events[0]["reason"]


def test_a_one_pass_checkpoint_is_timed_in_its_own_way(subject, monkeypatch):
    settings = replace(subject.backbone.settings, detector="joint")
    monkeypatch.setattr(subject.backbone, "settings", settings)
    found = {row.id: row for row in rows.rows_of(subject)}
    assert "box_two_pass" in found and "box_one_pass" not in found
    way = found["box"].way
    assert way.detect_task == "clarify" and 0 <= way.detection(PICTURE, "the red mug") <= 1
    joint, cold = way.decision(PICTURE, "the red mug"), way.decision(way.look(PICTURE), "the red mug")
    assert joint == pytest.approx(cold, abs=1e-4)
    two, words = found["box_two_pass"].way, subject.show.clear
    assert floor.total(way.outcome_floor(words, 4)).flops < floor.total(two.outcome_floor(words, 4)).flops


def test_a_directory_without_a_model_is_named(tmp_path, capsys):
    assert main(["bench", "--models", str(tmp_path), "--json", str(tmp_path / "b.json")]) == 2
    assert str(tmp_path / "config.json") in capsys.readouterr().err
    assert json.loads((tmp_path / "b.json").read_text())["skipped"]


def test_further_rows_can_be_added(subject, monkeypatch):
    extra = rows.Row("ros", "what ROS adds", subject.way(), lambda _: None)
    monkeypatch.setattr(rows, "ROW_PROVIDERS", [*rows.ROW_PROVIDERS, lambda s: [extra]])
    assert rows.rows_of(subject)[-1] is extra
    events = []
    rates = Rates("float32", 1e9, 1e9, 1e9, 1e9, 1e9)
    measure._Run(subject, rates, events.append, 2, ["ros"]).all()
    (row,) = [e for e in events if e["event"] == "row" and e["id"] == "ros"]
    assert len(row["ours"]["seconds"]) == 2 and row["plain"] is None


def test_a_model_that_sees_with_frozen_eyes_has_their_glances_timed(subject, monkeypatch, tmp_path):
    assert not rows.glances(subject)
    (tmp_path / "eyes.json").write_text('{"first": 28, "glances": 2}')
    monkeypatch.setattr(rows, "SIDE", 14)
    monkeypatch.setattr(rows, "engines", lambda device: ["torch"])
    monkeypatch.setattr(subject, "order", Order(str(tmp_path)))
    first, second = rows.glances(subject)
    assert (first.id, second.id) == ("first_glance_torch", "second_glances_torch")
    assert first.title == "frozen eyes, 1 × 28 px, torch" and first.ours(first.prepare()).patches.shape == (1, 4, 1152)
    assert second.ours(second.prepare()).cls.shape == (2, 384)


def test_slow_machines_share_the_plain_run(subject):
    """The longest run's clock gives the shorter ones, and each is run once."""
    runs = []
    plain = SimpleNamespace(run=lambda *a: (runs.append(a), SimpleNamespace(until=lambda n: float(n)))[1])
    way = SimpleNamespace(blind=False, length=lambda prefix: 7, plain=plain)
    made = {
        name: rows.PlainRun(way, PICTURE, "detect a", speak)
        for name, speak in (("detection", ""), ("box", "clarify a"), ("question", "clarify b"))
    }
    shared = measure._PlainRuns()
    shared.share([rows.Row(name, "", way, lambda _: None, plain=run) for name, run in made.items()])
    seconds = [
        shared.seconds(made[name], tokens, 0, Order("3b"))
        for name, tokens in (("box", 4), ("detection", 0), ("question", 12))
    ]
    assert seconds == [4.0, 0.0, 12.0] and len(runs) == 1


def test_targets_say_whether_they_hold():
    row = {"model": "embedded", "device": "cpu", "id": "second_turn", "ours": {"p50": 0.03}}
    first = {"model": "embedded", "device": "cpu", "id": "box", "ours": {"p50": 0.1}, "ratio": 0.7}
    assert judge(row, [row]) == [{"target": "≤ 0.80 × box", "value": None, "holds": None}]
    assert judge(row, [row, first])[0]["holds"] is True
    assert [v["holds"] for v in judge(first, [first])] == [False, True]  # against plain, in milliseconds
    one_pass = judge({**first, "detector": "joint"}, [first])
    assert [v["holds"] for v in one_pass] == [False, True, False]  # against 0.45 too
    assert judge({**first, "model": "elsewhere"}, []) == []
    seen = {"model": "embedded", "device": "cpu", "id": "decision", "ours": {"p50": 0.2}, "times_floor": 1.5}
    held = {n: [v["holds"] for v in judge({**seen, "sees": "torch", "glances": n}, [])] for n in (0, 8, 3)}
    assert held == {0: [False, True], 8: [True, True], 3: [True]} and [v["holds"] for v in judge(seen, [])] == [False]
    assert {t.row for t in TARGETS} >= {
        "detection",
        "box",
        "box_one_pass",
        "second_turn",
        "memory",
        "blind_seen_decision",
    }


def test_measuring_tools():
    assert percentile([], 0.5) is None and percentile([3.0], 0.95) == 3.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.5 and percentile(range(101), 0.95) == 95
    samples, order = Samples(), []
    samples.time(lambda: order.append("work") or 7, "cpu", lambda: order.append("prepare"))
    assert order == ["prepare", "work"] and samples.result == 7 and len(samples.seconds) == 1
    assert matmul_rate(64, 64, 64, "cpu", torch.float32, 0.01) > 1e6 and read_bandwidth(1 << 20, "cpu", 0.01) > 1e6
    assert isinstance(busy(), str)
    if reset_peak("cpu"):
        before = peak("cpu")
        block = torch.ones(40_000_000)
        assert peak("cpu") - before > 100_000_000 and block.numel()
