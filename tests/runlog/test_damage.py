"""Torn, corrupt, foreign and newer files: a clear error or a warning, and everything readable is read."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

from gradlens.runlog import NotARun, Run, RunError, RunTooNew, RunWriter, list_runs
from gradlens.runlog.reading.segment import Segment
from gradlens.runlog.reading.status import RunStatus
from tests.runlog.made import GROUPS, LAYERS, measurement, meta, write_run

SEGMENT = "measurements-000.arrows"


@pytest.fixture
def run_path(tmp_path):
    """A run of four batches: steps 0-63, 64-127, 128-191, 192-199."""
    writer = RunWriter(tmp_path / "run", meta(layer_names=LAYERS))
    writer.append_many([measurement(step, layers=True) for step in range(200)])
    writer.close()
    assert list(batch_ends(tmp_path / "run").values()) == [64, 128, 192, 200]
    return tmp_path / "run"


def batch_ends(path):
    """Byte after each batch -> rows up to there, by Arrow's own reader."""
    ends = {}
    with pa.memory_map(str(path / SEGMENT)) as file:
        reader, rows = pa.ipc.open_stream(file), 0
        for batch in reader:
            rows += batch.num_rows
            ends[file.tell()] = rows
    return ends


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


def test_a_run_that_was_closed_says_that_its_end_is_gone(run_path):
    data = (run_path / SEGMENT).read_bytes()
    (run_path / SEGMENT).write_bytes(data[:-100])
    run = Run(run_path)
    assert len(run) == 192
    assert len(run.warnings) == 1
    assert "bytes at the end are damaged and left out" in run.warnings[0]


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


@pytest.mark.parametrize("seed", range(60))
def test_flipped_bytes_cost_at_most_their_batch(run_path, seed):
    data, ends = bytearray((run_path / SEGMENT).read_bytes()), batch_ends(run_path)
    schema_end = len(pa.ipc.read_schema(pa.py_buffer(bytes(data))).serialize())
    rng = np.random.default_rng(seed)
    at = int(rng.integers(schema_end, list(ends)[-1]))
    data[at : at + 8] = rng.bytes(8)
    (run_path / SEGMENT).write_bytes(data)
    run = Run(run_path)
    assert (np.diff(run.steps) > 0).all()
    hit = next(index for index, end in enumerate(ends) if at < end)
    rows = [0, *ends.values()]
    others = {*range(rows[hit]), *range(rows[hit + 1], 200)}
    assert others <= set(run.steps.tolist())
    assert len(run) == 200 or any(SEGMENT in text and "left out" in text for text in run.warnings)
    run.cosine("tail")
    run.by_layer("norm", "head")


def test_a_block_of_garbage_in_the_middle(run_path):
    data, ends = (run_path / SEGMENT).read_bytes(), list(batch_ends(run_path))
    (run_path / SEGMENT).write_bytes(data[: ends[0]] + b"\xff" * 4096 + data[ends[1] :])
    run = Run(run_path)
    assert run.steps.tolist() == [*range(64), *range(128, 200)]
    assert len(run.warnings) == 1
    np.testing.assert_array_equal(run.gram()[64], measurement(128).gram)


def test_a_damaged_beginning_is_a_warning_and_other_segments_are_read(run_path):
    write_run(run_path, range(150, 160), layers=True, resume=True)
    data = bytearray((run_path / SEGMENT).read_bytes())
    data[8:40] = bytes(32)
    (run_path / SEGMENT).write_bytes(data)
    run = Run(run_path)
    assert run.steps.tolist() == list(range(150, 160))
    assert "its beginning is damaged" in run.warnings[0]


@pytest.mark.parametrize("text", [b"", b"{", b'{"format": "gradlens-run", "schema": 1}', b"\x00" * 100, b"[1, 2]"])
def test_a_damaged_description_is_taken_from_the_segment(run_path, text):
    (run_path / "run.json").write_bytes(text)
    run = Run(run_path)
    assert len(run) == 200
    assert run.meta.layer_names == LAYERS
    assert SEGMENT in run.warnings[0]
    (run_path / SEGMENT).unlink()
    with pytest.raises(RunError, match=r"run\.json"):
        Run(run_path)


def test_how_a_run_ended_is_unknown_without_its_description(run_path, monkeypatch):
    (run_path / "run.json").write_bytes(b"{")
    monkeypatch.setattr("gradlens.runlog.format.process.lives", lambda *_: False)
    assert Run(run_path).status == RunStatus("unknown", "how it ended stood in run.json")
    monkeypatch.setattr("gradlens.runlog.format.process.lives", lambda *_: True)
    assert Run(run_path).status == RunStatus("running")


def test_a_lost_description_is_taken_from_the_segment(run_path):
    (run_path / "run.json").unlink()
    assert len(Run(run_path)) == 200
    assert [path for path, _ in list_runs(run_path.parent)] == [run_path]


def test_groups_that_are_none(run_path):
    obj = json.loads((run_path / "run.json").read_text())
    obj["groups"]["groups"]["tail"] = [0]
    (run_path / "run.json").write_text(json.dumps(obj))
    run = Run(run_path)
    assert run.groups == GROUPS
    assert "changed or damaged" in run.warnings[0]
    assert "its groups are not those of measurements-000.arrows, which are taken" in run.warnings[1]
    (run_path / SEGMENT).unlink()
    with pytest.raises(RunError, match="no usable groups"):
        Run(run_path)


def test_damaged_event_lines_are_skipped(tmp_path):
    writer = write_run(tmp_path / "run", [1], close=False)
    writer.event("mark", 1, text="a")
    writer.flush()
    with open(tmp_path / "run" / "events.jsonl", "ab") as file:
        file.write(b'\xff\xfe\n{"kind": 3}\n"text"\n{"kind": "mark", "step": "x", "text": "b"}\n\n{"kind": "mark", "st')
    writer.close()
    later = write_run(tmp_path / "run", [2], close=False, resume=True)
    later.event("mark", 2, text="c")
    later.close()
    run = Run(tmp_path / "run")
    assert [m.text for m in run.marks] == ["a", "c"]
    assert run.warnings == ("events.jsonl: 5 damaged lines are left out",)


def test_a_newer_version_is_refused(run_path, tmp_path):
    obj = json.loads((run_path / "run.json").read_text())
    (run_path / "run.json").write_text(json.dumps({**obj, "schema": 2, "gradlens": "9.0"}))
    with pytest.raises(RunTooNew, match=r"schema version 2, written by gradlens 9\.0.*up to 1: update gradlens"):
        Run(run_path)
    with pytest.raises(RunTooNew):
        write_run(run_path, [500], resume=True)
    (found,) = list_runs(tmp_path)
    assert isinstance(found[1], RunTooNew)


def test_a_newer_segment_is_refused(run_path):
    with pa.memory_map(str(run_path / SEGMENT)) as file:
        table = pa.ipc.open_stream(file).read_all()
    facts = json.loads(table.schema.metadata[b"gradlens"])
    schema = table.schema.with_metadata({b"gradlens": json.dumps({**facts, "schema": 7})})
    with pa.ipc.new_stream(str(run_path / "measurements-001.arrows"), schema) as writer:
        writer.write_table(table.replace_schema_metadata(schema.metadata))
    with pytest.raises(RunTooNew, match="schema version 7"):
        Run(run_path)


def test_a_foreign_segment_is_left_out(run_path):
    with pa.ipc.new_stream(str(run_path / "measurements-001.arrows"), pa.schema([("x", pa.int64())])):
        pass
    run = Run(run_path)
    assert len(run) == 200
    assert "gradlens did not write" in run.warnings[0]
    run.refresh()
    assert len(run.warnings) == 1


def test_folders_that_are_no_runs(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.json").write_text('{"name": "someone else\'s"}')
    (tmp_path / "file").write_text("x")
    for path, message in [
        ("other", "not written by gradlens"),
        ("file", "is no folder"),
        ("nowhere", "is no folder"),
        ("", "no run.json"),
    ]:
        with pytest.raises(NotARun, match=message):
            Run(tmp_path / path)


def test_nothing_is_unpickled(run_path, monkeypatch):
    import pickle

    monkeypatch.setattr(pickle, "loads", lambda *_: pytest.fail("unpickled"))
    monkeypatch.setattr(pickle, "Unpickler", lambda *_: pytest.fail("unpickled"))
    Run(run_path).cosine("tail")


def test_listing(tmp_path):
    write_run(tmp_path / "b", [1])
    write_run(tmp_path / "deep" / "er" / "a", [1, 2])
    write_run(tmp_path / "broken", [])
    (tmp_path / "broken" / "run.json").write_text("{")
    for name in ("empty", ".hidden", "1/2/3/4"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copytree(tmp_path / "b", tmp_path / "1/2/3/4/too_deep")
    found = list_runs(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path, _ in found] == ["b", "broken", "deep/er/a"]
    assert "is damaged" in str(found[1][1])
    assert len(found[2][1]) == 2
    assert list_runs(tmp_path / "b")[0][0] == tmp_path / "b"
    with pytest.raises(RunError, match="is no folder"):
        list_runs(tmp_path / "nowhere")
