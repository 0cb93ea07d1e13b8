"""A tracker holds what the run holds: nothing twice, nothing lost after a kill, and the steps of a resumed training."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

from gradlens.mirror import mirroring
from gradlens.mirror.cursor import cursor_path
from gradlens.mirror.errors import MirrorError
from gradlens.mirror.mirroring import Mirroring
from gradlens.runlog import Run
from tests.mirror.runs import begin, expect, made, measured


class Memory:
    """A tracker that keeps points in this process. It may be killed after some points."""

    def __init__(self, *, keeps=True, takes_back=True):
        self.place, self.keeps, self.takes_back = "memory", keeps, takes_back
        self.points: list[tuple[str, int, float]] = []
        self.left = 10**9
        self.asked: list[int] = []

    def already(self, since):
        self.asked.append(since)
        return {(step, name) for name, step, _ in self.points if step >= since}

    def named(self, name):
        return name

    def write(self, points):
        for point in points:
            if not self.left:
                raise KeyboardInterrupt  # stands for a kill: no code of the mirror runs after it
            self.left -= 1
            self.points += [(name, point.step, value) for name, value in point.values.items()]

    def supersede(self, step):
        if self.takes_back:
            self.points = [point for point in self.points if point[1] < step]
        return self.takes_back

    def close(self, *, over):
        pass

    @property
    def series(self):
        found: dict[str, dict[int, float]] = {}
        for name, step, value in self.points:
            assert step not in found.setdefault(name, {}), f"{name} at step {step} was written twice"
            found[name][step] = value
        return found


def mirror(run, tracker, said=None):
    Mirroring(run, "memory", tracker, (said if said is not None else []).append).catch_up()


def test_a_second_call_writes_nothing_and_a_third_goes_on(tmp_path):
    run, memory = made(tmp_path / "run", range(0, 12, 2)), Memory()
    mirror(run, memory)
    expect(memory.series, range(0, 12, 2))
    before = list(memory.points)
    mirror(Run(run.path), memory)
    assert memory.points == before
    assert memory.asked == []
    cursor = json.loads(cursor_path(run.path, "memory", "memory").read_text())
    assert (cursor["step"], cursor["pending"], cursor["place"]) == (10, None, "memory")
    assert run.warnings == ()


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("killed_after", [0, 1, 5, 6, 8, 12, 14])
def test_after_a_kill_at_any_point_nothing_is_lost_or_doubled(tmp_path, monkeypatch, keeps, killed_after):
    monkeypatch.setattr(mirroring, "PART", 3)
    run, memory = made(tmp_path / "run", range(0, 14, 2)), Memory(keeps=keeps)
    memory.left = killed_after
    with pytest.raises(KeyboardInterrupt):
        mirror(run, memory)
    memory.left = 10**9
    if not keeps and len(memory.points) > 3:
        del memory.points[-3:]  # its process was killed, too, before it had written them
    mirror(run, memory)
    expect(memory.series, range(0, 14, 2))


def test_a_resumed_training_supersedes_what_was_mirrored(tmp_path):
    path = tmp_path / "run"
    memory, said = Memory(), []
    mirror(made(path, range(0, 12, 2)), memory)
    begin(path, range(7, 11), resume=True, offset=50).close()
    mirror(Run(path), memory, said)
    assert sorted(memory.series["gradlens/head/cosine"]) == [0, 2, 4, 6, 7, 8, 9, 10]
    np.testing.assert_allclose(memory.series["gradlens/head/norm"][8], measured(8).norm("head"))
    assert said == []


def test_a_tracker_that_cannot_take_back_says_so(tmp_path):
    path = tmp_path / "run"
    memory, said = Memory(takes_back=False), []
    mirror(made(path, range(0, 12, 2)), memory)
    begin(path, range(7, 11), resume=True, offset=50).close()
    mirror(Run(path), memory, said)
    (line,) = said
    assert line.startswith("the training was resumed at step 7; memory cannot take back")
    assert [step for name, step, _ in memory.points if name == "gradlens/head/cosine"] == [
        0,
        2,
        4,
        6,
        8,
        10,
        7,
        8,
        9,
        10,
    ]


def test_follow_goes_on_until_the_run_is_over(tmp_path, monkeypatch):
    monkeypatch.setattr(mirroring, "PAUSE", 0.02)
    writer, memory = begin(tmp_path / "run", range(0, 4, 2)), Memory()
    work = Mirroring(Run(tmp_path / "run"), "memory", memory, print)
    thread = threading.Thread(target=work.follow, args=(threading.Event(),))
    thread.start()
    for step in range(4, 10, 2):
        writer.append(measured(step))
        writer.log(step, {"val/loss": step / 8})
        writer.flush()
    writer.close()
    thread.join(20)
    assert not thread.is_alive()
    series = memory.series
    series["gradlens-evaluation/test/overall"] = {8: series["gradlens-evaluation/test/overall"][2]}
    expect(series, range(0, 10, 2))


def test_follow_stops_when_it_is_told_to(tmp_path):
    writer, memory, stop = begin(tmp_path / "run", range(3)), Memory(), threading.Event()
    stop.set()
    Mirroring(Run(tmp_path / "run"), "memory", memory, print).follow(stop)
    assert memory.points == []
    writer.close()


def test_a_damaged_cursor_is_said(tmp_path):
    run = made(tmp_path / "run", range(3))
    cursor_path(run.path, "memory", "memory").write_text("{")
    with pytest.raises(MirrorError, match=r"mirror-memory-.*json is damaged .*; remove it to mirror the run anew"):
        mirror(run, Memory())
