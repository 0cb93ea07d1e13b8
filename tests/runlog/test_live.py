"""A run that is read while it is written: only what is new is read, from any number of threads."""

import shutil
import threading
import time

import numpy as np
import pytest

from gradlens.runlog import Run, RunError, RunWriter
from gradlens.runlog.reading import segment
from gradlens.runlog.reading.library import RunLibrary
from tests.runlog.made import LAYERS, measurement, meta, wait_for, write_run


def test_rows_and_events_reach_the_disk_by_themselves_within_a_second(tmp_path):
    writer = RunWriter(tmp_path / "run", meta())
    writer.append(measurement(1))
    run, appended = Run(tmp_path / "run"), time.monotonic()
    wait_for(lambda: run.refresh() and len(run) == 1)
    assert time.monotonic() - appended < 2.5  # 1 s and a busy machine
    writer.event("mark", 1, text="here")
    wait_for(lambda: run.refresh() and len(run.marks) == 1)
    writer.update_meta(timings={"plain": 1.0})
    wait_for(lambda: run.refresh() and run.meta.timings == {"plain": 1.0})
    assert run.refresh() is False
    writer.close()
    assert run.refresh() is True
    assert run.status.state == "finished"
    assert run.refresh() is False


def test_a_refresh_indexes_and_computes_only_what_is_new(tmp_path, monkeypatch):
    writer = write_run(tmp_path / "run", range(1000), close=False)
    run = Run(tmp_path / "run")
    first = run.cosine("tail")
    read, added = [], []
    real_read, real_add = segment.Segment.read, segment.Segment._add
    monkeypatch.setattr(
        segment.Segment,
        "read",
        lambda self, c, low, high, *a: read.append(high - low) or real_read(self, c, low, high, *a),
    )

    def add(self, kind, count=1):
        added.append(count * kind.rows)
        real_add(self, kind, count)

    monkeypatch.setattr(segment.Segment, "_add", add)
    writer.append_many([measurement(step) for step in range(1000, 1010)])
    writer.flush()
    assert run.refresh()
    assert sum(added) == 10
    second = run.cosine("tail")
    assert sum(read) == 10
    np.testing.assert_array_equal(second[:1000], first)
    np.testing.assert_allclose(second[1000:], [measurement(s).cosine("tail") for s in range(1000, 1010)], rtol=1e-9)
    run.cosine("tail")
    assert sum(read) == 10
    writer.close()


def test_a_snapshot_keeps_its_length_while_others_refresh(tmp_path):
    writer = write_run(tmp_path / "run", range(10), close=False)
    run = Run(tmp_path / "run")
    snapshot = run.snapshot()
    early = snapshot.cosine("tail")
    writer.append_many([measurement(step) for step in range(10, 30)])
    writer.flush()
    assert snapshot.refresh() is False
    assert run.refresh() is True
    assert run.cosine("tail").shape == (30,)
    assert {
        len(a) for a in (snapshot, snapshot.steps, snapshot.gram(), snapshot.norm("head", "mean"), snapshot.counts)
    } == {10}
    np.testing.assert_array_equal(snapshot.cosine("tail"), early)
    assert snapshot.sample(100).tolist() == list(range(10))
    assert snapshot.by_layer("norm", "tail").shape == (10, 0)
    assert run.snapshot().steps.tolist() == list(range(30))
    writer.close()
    # Not even a resumed training, which takes steps back, changes what was there.
    write_run(tmp_path / "run", range(5, 8), resume=True)
    assert run.refresh() is True
    assert run.steps.tolist() == list(range(8))
    assert snapshot.steps.tolist() == list(range(10))
    np.testing.assert_allclose(snapshot.share("tail"), [measurement(s).share("tail") for s in range(10)], rtol=1e-9)


def test_a_library_shows_the_same_snapshot_until_something_is_new(tmp_path):
    writer = write_run(tmp_path / "a", range(10), close=False)
    write_run(tmp_path / "b", range(5))
    (tmp_path / "b" / "run.json").write_text("[]")
    library = RunLibrary(tmp_path)
    first = library.look()
    assert isinstance(first["b"], Run)
    assert first["b"].warnings
    assert library.look(now=True)["a"] is first["a"]
    writer.append(measurement(10))
    writer.flush()
    assert library.look()["a"] is first["a"]  # somebody has looked a moment ago
    later = library.look(now=True)
    assert (len(first["a"]), len(later["a"])) == (10, 11)
    assert later["b"] is first["b"]
    writer.close()
    shutil.rmtree(tmp_path / "a")
    write_run(tmp_path / "c" / "d", [1])
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "run.json").write_text("{")
    found = library.look(now=True)
    assert sorted(found) == ["b", "c/d", "e"]
    assert isinstance(found["e"], RunError)
    with pytest.raises(RunError, match="is no folder"):
        RunLibrary(tmp_path / "nowhere").look()


def test_arrays_that_were_given_out_do_not_change(tmp_path):
    writer = write_run(tmp_path / "run", range(10), close=False)
    run = Run(tmp_path / "run")
    kept = [(run.steps, run.steps.copy())]
    for step in range(10, 60):
        writer.append(measurement(step))
        writer.flush()
        run.refresh()
        kept.append((run.steps, run.steps.copy()))
    writer.close()
    assert [len(array) for array, _ in kept] == list(range(10, 61))
    for array, copy in kept:
        np.testing.assert_array_equal(array, copy)


def test_many_threads_write_and_many_read(tmp_path):
    writer = RunWriter(tmp_path / "run", meta(layer_names=LAYERS))
    lock, failures, done = threading.Lock(), [], threading.Event()
    steps = iter(range(1, 3000))

    def write():
        try:
            while True:
                with lock:
                    step = next(steps, None)
                    if step is None:
                        return
                    writer.append(measurement(step, layers=step % 3 > 0))
                if step % 100 == 0:
                    writer.event("mark", step, text=str(step))
                    writer.flush()
        except Exception as error:
            failures.append(error)

    def read(run):
        try:
            while not done.is_set():
                run.refresh()
                curve = run.cosine("tail")
                run.cosine("tail", "fc")
                assert len(run.steps) >= len(curve)
                assert (np.diff(run.steps) == 1).all()
                assert not np.isnan(curve).any()
        except Exception as error:
            failures.append(error)

    writer.flush()
    run = Run(tmp_path / "run")
    writer.append(measurement(0, layers=True))  # layers are there before anybody asks for them
    writer.flush()
    run.refresh()
    writers = [threading.Thread(target=write) for _ in range(3)]
    readers = [threading.Thread(target=read, args=(run,)) for _ in range(3)]
    for thread in [*writers, *readers]:
        thread.start()
    for thread in writers:
        thread.join()
    writer.close()
    done.set()
    for thread in readers:
        thread.join()
    run.refresh()
    assert failures == []
    assert run.steps.tolist() == list(range(3000))
    assert sorted(m.step for m in run.marks) == list(range(100, 3000, 100))
    np.testing.assert_allclose(run.norm("tail")[::500], [measurement(s).norm("tail") for s in range(0, 3000, 500)])


def test_small_flushes_make_readable_blocks(tmp_path):
    rng = np.random.default_rng(0)
    writer, step = RunWriter(tmp_path / "run", meta(layer_names=LAYERS)), 0
    for _ in range(200):
        for _ in range(int(rng.integers(1, 6))):
            absent = ("tail",) if rng.random() < 0.3 else ()
            writer.append(measurement(step, layers=rng.random() < 0.8, absent=absent))
            step += 1
        writer.flush()
    writer.close()
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == list(range(step))
    present = ~np.isnan(run.cosine("tail"))
    expected = np.array([measurement(s).gram for s in range(step)])
    np.testing.assert_array_equal(run.gram()[present], expected[present])
    rows = run.sample(123)
    np.testing.assert_array_equal(run.by_layer("cosine", "tail", rows)[:, 1], run.cosine("tail", "fc")[rows])


def test_another_run_in_the_same_folder(tmp_path):
    write_run(tmp_path / "run", range(100))
    run = Run(tmp_path / "run")
    run.cosine("tail")
    shutil.rmtree(tmp_path / "run")
    assert run.refresh() is False
    write_run(tmp_path / "run", range(1000, 1005))
    run.refresh()
    assert run.steps.tolist() == list(range(1000, 1005))
    np.testing.assert_allclose(run.cosine("tail"), [measurement(s).cosine("tail") for s in range(1000, 1005)])


def test_a_segment_cut_by_another_program(tmp_path):
    writer = RunWriter(tmp_path / "run", meta())
    writer.append_many([measurement(step) for step in range(128)])
    writer.close()
    path = tmp_path / "run" / "measurements-000.arrows"
    run = Run(tmp_path / "run")
    assert len(run.cosine("tail")) == 128
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size - 200)
    assert run.refresh()
    assert run.steps.tolist() == list(range(64))
    assert run.cosine("tail").shape == (64,)
    assert "damaged and left out" in run.warnings[0]
    path.write_bytes(b"")
    run.refresh()
    assert len(run.steps) == 0


def test_curves_that_are_kept_are_bounded(tmp_path, monkeypatch):
    from gradlens.runlog.reading import curves

    monkeypatch.setattr(curves, "MOST_BYTES", 3 * 8 * 500)
    write_run(tmp_path / "run", range(500))
    run = Run(tmp_path / "run")
    for name in ("head", "tail", "rest"):
        run.cosine(name)
        run.share(name)
        run.norm(name)
    assert sum(array.nbytes for array, _ in run._series._curves._kept.values()) <= 3 * 8 * 500
    np.testing.assert_allclose(run.cosine("head")[7], measurement(7).cosine("head"))


@pytest.mark.parametrize("chunk", [1, 5000, 1 << 20])
def test_parts_of_any_size_make_the_same_curve(tmp_path, monkeypatch, chunk):
    from gradlens.runlog.reading import curves

    monkeypatch.setattr(curves, "CHUNK_BYTES", chunk)
    write_run(tmp_path / "run", range(333))
    run = Run(tmp_path / "run")
    np.testing.assert_allclose(run.cosine("tail"), [measurement(s).cosine("tail") for s in range(333)], rtol=1e-9)
