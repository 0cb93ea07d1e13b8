"""Trackio's local database, read back by Trackio."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("trackio", reason="needs: pip install trackio")
from trackio import sqlite_storage

from gradlens.mirror.destination import Point
from gradlens.mirror.mirroring import Mirroring
from gradlens.mirror.trackers.trackio import TrackioMirror
from gradlens.runlog import Run
from tests.mirror.runs import begin, expect, made

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def local(monkeypatch, tmp_path):
    monkeypatch.setattr(sqlite_storage, "TRACKIO_DIR", tmp_path / "trackio")


def read(tracker):
    found: dict[str, dict[int, float]] = {}
    for line in tracker._storage.get_logs(tracker._project, tracker._name):
        for name, value in line.items():
            if name.startswith(("gradlens", "val")):
                assert line["step"] not in found.setdefault(name, {}), f"{name} stands twice at step {line['step']}"
                found[name][line["step"]] = value
    return found


def mirror(run):
    tracker = TrackioMirror(run.name, run.meta.id, None)
    Mirroring(run, "trackio", tracker, print).catch_up()
    tracker.close(over=True)
    return tracker


def test_a_run_and_what_was_added_to_it(tmp_path):
    run = made(tmp_path / "run", range(0, 8, 2))
    expect(read(mirror(run)), range(0, 8, 2))
    (cursor,) = run.path.glob("mirror-*")
    cursor.unlink()
    expect(read(mirror(run)), range(0, 8, 2))  # Trackio knows the lines
    begin(run.path, range(8, 10), resume=True).close()
    assert sorted(read(mirror(Run(run.path)))["gradlens/head/cosine"]) == [0, 2, 4, 6, 8, 9]


def test_the_run_of_the_user_and_values_that_are_no_number():
    tracker = TrackioMirror("run", "key", "mine")
    tracker.write([Point(3, 1.0, {"gradlens/a/norm": math.nan, "gradlens/b/norm": 2.0})])
    found = read(tracker)
    assert math.isnan(float(found["gradlens/a/norm"][3]))
    assert found["gradlens/b/norm"] == {3: 2.0}
