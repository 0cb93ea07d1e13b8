"""What a training logged itself comes back: as it was, also after a kill, and without what a later session supersedes."""

import math

import numpy as np
import pytest

from gradlens.runlog import Run, RunWriter
from gradlens.runlog.format.events import line_of
from tests.runlog.made import meta, write_run


def test_numbers_come_back_with_their_steps(tmp_path):
    writer = write_run(tmp_path / "run", [0, 1], close=False)
    writer.log(0, {"val/loss": 0.5, "lr": np.float32(0.25)})
    writer.log(7, {"val/loss": float("inf"), "big": 10**400 // 10**380})
    writer.log(3, {"val/loss": float("nan")})
    writer.flush()
    live = Run(tmp_path / "run")
    assert live.logged_names == ("val/loss", "lr", "big")
    writer.log(7, {"val/loss": 0.25})
    writer.close()
    assert live.refresh()
    loss = live.logged("val/loss")
    assert loss.steps.tolist() == [0, 3, 7, 7]
    np.testing.assert_array_equal(loss.values, [0.5, math.nan, math.nan, 0.25])
    assert abs(loss.time - live.meta.ended).max() < 60
    assert live.logged("lr").values.tolist() == [0.25]
    assert live.logged("big").values.tolist() == [1e20]
    assert len(live.logged("big")) == 1
    assert live.warnings == ()
    assert live.events == []
    with pytest.raises(KeyError, match=r"nothing is logged as 'acc' in the run .*; it has val/loss, lr, big"):
        live.logged("acc")


def test_a_run_without_them_is_as_it_was(tmp_path):
    write_run(tmp_path / "run", [0])
    run = Run(tmp_path / "run")
    assert run.logged_names == ()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["measurements-000.arrows", "run.json"]
    assert list(run.meta.files) == ["measurements-000.arrows"]
    with pytest.raises(KeyError, match="it has none"):
        run.logged("loss")


def test_a_resumed_training_keeps_earlier_values_and_supersedes_later_ones(tmp_path):
    for session, steps in enumerate(([0, 10, 20], [12, 14])):
        writer = write_run(tmp_path / "run", steps, close=False, resume=bool(session))
        for step in steps:
            writer.log(step, {"loss": 100 * session + step})
        writer.close()
    run = Run(tmp_path / "run")
    assert run.logged("loss").steps.tolist() == [0, 10, 12, 14]
    assert run.logged("loss").values.tolist() == [0, 10, 112, 114]
    assert run.meta.files["logged.jsonl"] == {"lines": {"0": 3, "1": 2}}


def test_damage_is_said_and_good_lines_stay(tmp_path):
    writer = RunWriter(tmp_path / "run", meta())
    for step in range(4):
        writer.log(step, {"loss": step})
    writer.close()
    path = tmp_path / "run" / "logged.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b'"loss": 1', b'"loss": 7') + lines[2])
    run = Run(tmp_path / "run")
    assert run.logged("loss").values.tolist() == [0, 2]
    assert run.warnings == ("logged.jsonl: 1 damaged lines are left out", "logged.jsonl: 1 lines are missing")


def test_odd_lines_are_left_out(tmp_path):
    writer = RunWriter(tmp_path / "run", meta())
    writer.log(0, {"loss": 1.0})
    writer.close()
    run = Run(tmp_path / "run")
    odd = [{"values": [1]}, {"values": {"\n": 1}}, {"kind": "mark"}, {"values": {"loss": "text", "flag": True}}]
    with open(tmp_path / "run" / "logged.jsonl", "ab") as file:
        for number, facts in enumerate(odd, 1):
            file.write(
                line_of({"kind": "logged", "step": 1, "session": 0, "gradlens_line": number, **facts}, run.meta.id)
            )
    run.refresh()
    np.testing.assert_array_equal(run.logged("loss").values, [1.0, math.nan])
    np.testing.assert_array_equal(run.logged("flag").values, [math.nan])
    assert run.logged_names == ("loss", "flag")
    assert run.warnings == ("logged.jsonl: 3 lines at a wrong place are left out",)
