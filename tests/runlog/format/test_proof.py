"""The record proves itself: whatever is missing, foreign, swapped, cut or changed is said; other rows stay readable."""

import json
import os
import re
import shutil
import socket
import zlib

import numpy as np
import pyarrow as pa
import pytest

from gradlens.analysis.facts import facts
from gradlens.analysis.kept_overview import overviews
from gradlens.analysis.run_query import with_cards
from gradlens.reports.listing import runs_text
from gradlens.runlog import Run, RunWriter
from gradlens.runlog.format.description import read_meta
from tests.runlog.made import LAYERS, NAMES, measurement, meta

FIRST, SECOND = "measurements-000.arrows", "measurements-001.arrows"


def made(path, seed=0):
    """A run of 200 + 150 steps, resumed once, with events."""
    for start, stop in ((0, 200), (200, 350)):
        writer = RunWriter(path, meta(layer_names=LAYERS, seed=seed), resume=start > 0)
        writer.append_many([measurement(step, layers=True) for step in range(start, stop)])
        writer.event("mark", start, text=f"from {start}")
        writer.event("phase", start, name=f"{start}")
        writer.close()
    return path


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return made(tmp_path_factory.mktemp("runs") / "sound")


@pytest.fixture
def run_path(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "run")


def test_a_sound_run_says_nothing(run_path):
    run = Run(run_path)
    assert (len(run), run.warnings, run.proven) == (350, (), True)
    assert {"rows": 200, "digest": run.meta.files[FIRST]["digest"]} == run.meta.files[FIRST]


def test_any_arrow_tool_reads_the_batches_and_can_check_them(run_path):
    rows = 0
    with pa.memory_map(str(run_path / FIRST)) as file:
        reader = pa.ipc.open_stream(file)
        while True:
            try:
                batch, proof = reader.read_next_batch_with_custom_metadata()
            except StopIteration:
                break
            assert proof[b"gradlens"].startswith(b"row=%016x " % rows)
            rows += batch.num_rows
    assert rows == 200


@pytest.mark.parametrize("name", [FIRST, SECOND, "run.json", "events.jsonl"])
@pytest.mark.parametrize("seed", range(25))
def test_no_flipped_bit_goes_unseen(run_path, name, seed):
    truth = Run(run_path)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    data = bytearray((run_path / name).read_bytes())
    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    (run_path / name).write_bytes(data)
    run = Run(run_path)
    grams = dict(zip(truth.steps.tolist(), truth.gram("fc"), strict=True))
    for step, gram in zip(run.steps.tolist(), run.gram("fc"), strict=True):
        assert np.isnan(gram).all() or np.array_equal(gram, grams[step])
    assert run.warnings
    if name.endswith(".arrows") and len(run):
        assert len(run) >= 350 - 64 - (150 if name == SECOND else 200) * (len(run) <= 200)


def test_damaged_layers_are_missing_and_the_model_is_kept(run_path):
    data = bytearray((run_path / FIRST).read_bytes())
    layer = np.triu(np.ones((3, 3), bool))
    value = measurement(70, layers=True).layers[1][layer].tobytes()
    at = data.find(value)
    assert at > 0
    data[at] ^= 1
    (run_path / FIRST).write_bytes(data)
    run = Run(run_path)
    assert len(run) == 350
    assert run.warnings == (f"{FIRST}: the layers of rows 64 to 127 are damaged and shown as missing",)
    assert np.isnan(run.gram("fc")[64:128]).all()
    assert np.isfinite(run.gram("fc")[:64]).all()
    assert np.isfinite(run.gram()).all()


@pytest.mark.parametrize(
    ("damage", "rows", "said"),
    [
        (lambda p: os.truncate(p / FIRST, 20_000), None, "are damaged and left out, with the last"),
        (lambda p: os.truncate(p / SECOND, 0), 200, "with the last 150 of 150 rows"),
        (lambda p: (p / SECOND).unlink(), 200, f"{SECOND} is missing with 150 rows"),
        (lambda p: (p / FIRST).unlink(), 150, f"{FIRST} is missing with 200 rows"),
        (lambda p: (p / "events.jsonl").unlink(), 350, "events.jsonl is missing"),
        (lambda p: shutil.copy(p / FIRST, p / "measurements-002.arrows"), 350, "another copy of segment 0"),
    ],
)
def test_what_is_missing_is_counted(run_path, damage, rows, said):
    damage(run_path)
    run = Run(run_path)
    assert rows is None or len(run) == rows
    assert any(said in text for text in run.warnings), run.warnings


def test_swapped_segments_are_read_in_their_places(run_path):
    truth = Run(run_path).gram()
    (run_path / FIRST).rename(run_path / "held")
    (run_path / SECOND).rename(run_path / FIRST)
    (run_path / "held").rename(run_path / SECOND)
    run = Run(run_path)
    np.testing.assert_array_equal(run.gram(), truth)
    assert sum("under a wrong name" in text for text in run.warnings) == 2


def test_files_of_another_run_are_left_out(run_path, tmp_path):
    other = made(tmp_path / "other", seed=1)
    shutil.copy(other / SECOND, run_path / SECOND)
    shutil.copy(other / "events.jsonl", run_path / "events.jsonl")
    run = Run(run_path)
    assert (len(run), run.marks) == (200, [])
    assert f"{SECOND} belongs to another run; its rows are left out" in run.warnings
    assert any("damaged lines" in text for text in run.warnings)


def test_lines_that_are_gone_are_counted(run_path):
    lines = (run_path / "events.jsonl").read_bytes().splitlines(keepends=True)
    (run_path / "events.jsonl").write_bytes(b"".join(lines[1:-1]))
    assert any("lines are missing" in text for text in Run(run_path).warnings)


def test_what_an_earlier_version_wrote_is_read_without_proofs(tmp_path):
    """As 0.1 wrote it: batches, lines and descriptions without checksums, segments without places."""
    from gradlens.runlog.format.schema import RowLayout, pack, record_batch

    layout = RowLayout(NAMES, (), ("head", "tail"))
    known = {k: v for k, v in meta(status="finished").to_json().items() if k not in ("id", "files", "pid_namespace")}
    (tmp_path / "run.json").write_text(json.dumps(known))
    schema = layout.schema(known)
    with pa.ipc.new_stream(str(tmp_path / FIRST), schema) as writer:
        for start in (0, 64):
            rows = [pack(layout, measurement(step)) for step in range(start, start + 64)]
            writer.write_batch(record_batch(layout, schema, rows))
    (tmp_path / "events.jsonl").write_text('{"kind": "mark", "step": 3, "text": "old"}\n')
    run = Run(tmp_path)
    assert (len(run), run.warnings, run.proven) == (128, (), False)
    assert [m.text for m in run.marks] == ["old"]
    said = "none: begun by an earlier version, so damage may go unnoticed"
    assert dict(facts(run))["checksums"] == said
    assert f"checksums: {said}" in " ".join(runs_text(*with_cards(overviews(tmp_path)), width=80).split())
    later = RunWriter(tmp_path, meta(), resume=True)
    later.append(measurement(128))
    later.event("mark", 128, text="new")
    later.close()
    run = Run(tmp_path)
    assert (len(run), run.warnings, run.proven) == (129, (), False)
    assert [m.text for m in run.marks] == ["old", "new"]


def test_a_file_that_cannot_be_opened_is_said(run_path, monkeypatch):
    from gradlens.runlog.reading import growing as module

    def full(path, most=None):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(module, "open_regular", full)
    run = Run(run_path)
    assert len(run) == 0
    assert f"{FIRST} cannot be read: Too many open files" in run.warnings


@pytest.mark.parametrize("name", [FIRST, "run.json", "events.jsonl"])
@pytest.mark.parametrize("kind", ["pipe", "device", "circle", "folder"])
def test_special_files_are_said_and_never_waited_for(run_path, name, kind):
    path = run_path / name
    path.unlink()
    {
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "circle": lambda: path.symlink_to(path),
        "folder": path.mkdir,
    }[kind]()
    run = Run(run_path)
    assert run.warnings
    assert len(run) == (150 if name == FIRST else 350)
    assert read_meta(run_path).seed == 0 if name != "run.json" else run.meta.seed == 0


@pytest.mark.parametrize("name", [FIRST, "events.jsonl"])
@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "link in a circle"])
def test_a_file_that_is_none_is_said_in_one_line(tmp_path, kind, name):
    path = made(tmp_path / "r") / name
    path.unlink()
    pipes = []
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link in a circle":
        path.symlink_to(path.name)
    else:
        pipes.append(socket.socket(socket.AF_UNIX))
        folder = os.open(path.parent, os.O_RDONLY)  # the path of a socket must be short
        pipes[0].bind(f"/proc/self/fd/{folder}/{name}")
        os.close(folder)
    run = Run(tmp_path / "r")
    (said,) = run.warnings
    assert re.fullmatch(rf"{re.escape(name)} cannot be read: .+", said)
    assert len(run) == (150 if name == FIRST else 350)
    assert [m.text for m in run.marks] == ([] if name != FIRST else ["from 0", "from 200"])
    for pipe in pipes:
        pipe.close()
