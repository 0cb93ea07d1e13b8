"""Event files, read back by TensorBoard's own reader."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import pytest

pytest.importorskip("tensorboard", reason="needs: pip install tensorboard")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gradlens.mirror.destination import Point
from gradlens.mirror.mirroring import Mirroring
from gradlens.mirror.trackers.tensorboard import TensorBoardMirror
from gradlens.runlog import Run
from tests.mirror.runs import begin, expect, made


def read(folder: Path) -> dict[str, dict[int, float]]:
    loaded = EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0})
    loaded.Reload()
    found = defaultdict(dict)
    for name in loaded.Tags()["scalars"]:
        for event in loaded.Scalars(name):
            assert event.step not in found[name], f"{name} stands twice at step {event.step}"
            found[name][event.step] = event.value
    return found


def mirror(run: Run, folder: Path) -> None:
    tracker = TensorBoardMirror(folder)
    Mirroring(run, "tensorboard", tracker, print).catch_up()
    tracker.close(over=True)


def test_a_run_and_what_was_added_to_it(tmp_path):
    path, folder = tmp_path / "run", tmp_path / "logs"
    mirror(made(path, range(0, 8, 2)), folder)
    expect(read(folder), range(0, 8, 2))
    times = EventAccumulator(str(folder)).Reload().Scalars("gradlens/head/cosine")
    assert [event.wall_time for event in times] == [1e9 + step for step in range(0, 8, 2)]
    mirror(Run(path), folder)
    assert len(list(folder.iterdir())) == 1


def test_a_resumed_run_replaces_the_steps_that_it_supersedes(tmp_path):
    path, folder = tmp_path / "run", tmp_path / "logs"
    mirror(made(path, range(0, 12, 2)), folder)
    begin(path, range(7, 10), resume=True, offset=50).close()
    mirror(Run(path), folder)
    found = read(folder)
    assert sorted(found["gradlens/head/cosine"]) == [0, 2, 4, 6, 7, 8, 9]


def test_a_record_that_was_cut_off_is_written_again(tmp_path):
    path, folder = tmp_path / "run", tmp_path / "logs"
    run = made(path, range(0, 8, 2))
    mirror(run, folder)
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-700])
    (cursor,) = path.glob("mirror-*.json")
    cursor.write_text(cursor.read_text().replace('"pending": null', '"pending": 0').replace('"step": 6', '"step": -1')
                      .replace('"val/loss": 4', '"val/loss": 0').replace('"events": 1', '"events": 0'))  # fmt: skip
    mirror(run, folder)
    expect(read(folder), range(0, 8, 2))


def test_values_that_are_no_number_are_nan(tmp_path):
    tracker = TensorBoardMirror(tmp_path)
    tracker.write([Point(3, 1.0, {"a": math.nan, "b": 2.0})])
    tracker.close(over=True)
    found = read(tmp_path)
    assert math.isnan(found["a"][3])
    assert found["b"] == {3: 2.0}
    assert TensorBoardMirror(tmp_path).already(3) == {(3, "a"), (3, "b")}
    assert TensorBoardMirror(tmp_path).already(4) == set()


def test_the_files_of_the_user_stay(tmp_path):
    (tmp_path / "events.out.tfevents.1.mine").write_bytes(b"mine")
    tracker = TensorBoardMirror(tmp_path)
    assert tracker.already(0) == set()
    tracker.close(over=True)
    assert [path.name for path in tmp_path.iterdir()] == ["events.out.tfevents.1.mine"]
