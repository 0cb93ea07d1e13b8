"""A segment: only what is new is read as it grows, and what is torn costs nothing else."""

import numpy as np

from gradlens.runlog import Run, RunWriter
from gradlens.runlog.reading import segment
from gradlens.runlog.reading.segment import Segment
from tests.runlog.made import SEGMENT, batch_ends, measurement, meta, write_run


def two_batches(path):
    """A run of 3 + 4 steps, small enough to be tried at every byte."""
    writer = write_run(path, range(3), close=False)
    writer.append_many([measurement(step) for step in range(3, 7)])
    writer.close()
    assert list(batch_ends(path).values()) == [3, 7]
    return (path / SEGMENT).read_bytes(), batch_ends(path)


def test_torn_at_every_byte(tmp_path):
    path = tmp_path / "run"
    whole, ends = two_batches(path)
    expected = Run(path).cosine("tail")
    for size in range(len(whole) + 1):
        (path / SEGMENT).write_bytes(whole[:size])
        rows = max((n for end, n in ends.items() if end <= size), default=0)
        segment = Segment(path / SEGMENT)
        assert segment.refresh() == rows, f"torn at byte {size}"
        assert segment.problems == []
        if size % 16 == 0:
            run = Run(path)
            np.testing.assert_array_equal(run.cosine("tail"), expected[:rows])
            # The run says that it was closed, so a segment without an end is worth a word.
            assert all("at the end are damaged" in text for text in run.warnings)


def test_growing_byte_by_byte(tmp_path):
    whole, ends = two_batches(tmp_path / "run")
    (tmp_path / "run" / SEGMENT).write_bytes(b"")
    run = Run(tmp_path / "run")
    with open(tmp_path / "run" / SEGMENT, "ab", buffering=0) as file:
        for start in range(0, len(whole), 5):
            file.write(whole[start : start + 5])
            changed = run.refresh()
            rows = max((n for end, n in ends.items() if end <= start + 5), default=0)
            assert len(run) == rows
            assert changed == any(start < end <= start + 5 for end in ends)
    assert run.steps.tolist() == list(range(7))
    assert run.warnings == ()


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
