"""Rows that are kept beside runs: when they count, and what they never hide."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from gradlens.analysis import kept_overview
from gradlens.analysis.kept_overview import VERSION, keep_at_close, overview_at, overviews
from gradlens.analysis.overview import overview
from gradlens.analysis.row import Overview, from_json, to_json
from gradlens.analysis.run_query import with_cards
from gradlens.reports.listing import runs_text
from gradlens.runlog import Run, RunError
from gradlens.runlog.format.kept_summary import FILE, write_summary
from gradlens.runlog.format.run_stamp import stamp_of
from gradlens.runlog.format.text_proof import proven_text
from tests.dashboard_runs import phases
from tests.made_runs import make_run
from tests.rows_read import rows_read


@pytest.fixture
def opened(monkeypatch):
    """The names of the files with rows that were read since."""
    return rows_read(monkeypatch)


@pytest.fixture
def folder(tmp_path):
    """Three runs that were listed once."""
    for seed, name in enumerate(("a", "b", "c")):
        make_run(tmp_path / name, steps=60, seed=seed)
    phases(tmp_path / "b", I=0, II=30)
    settle(tmp_path)
    overviews(tmp_path)
    return tmp_path


def settle(folder):
    """Waits until no file was written in this tick of the file system."""
    time.sleep(3 * kept_overview.TICK_SECONDS)


def same(a: Overview, b: Overview) -> bool:
    return repr(a) == repr(b)  # NaN is equal to NaN


def test_the_second_look_opens_no_rows_and_shows_the_same(folder, opened):
    first = runs_text(*with_cards([(p, overview(Run(p))) for p, _ in overviews(folder)]), now=0.0, width=150)
    opened.clear()
    assert runs_text(*with_cards(overviews(folder)), now=0.0, width=150) == first
    assert opened == []


def test_a_kept_row_is_the_computed_one(folder):
    for name in ("a", "b", "c"):
        assert same(overview_at(folder / name), overview(Run(folder / name)))


def test_a_row_is_read_back_as_it_was(tmp_path):
    row = overview(make_run(tmp_path / "short", steps=3))
    assert np.isnan(row.accuracy)
    odd = replace(
        row, sparks=(0.25, float("nan")), incomplete=("lost",), nonfinite="some", without_output="x", unproven="y"
    )
    assert same(from_json(json.loads(json.dumps(to_json(odd), allow_nan=False)), odd.state, odd.reason), odd)


@pytest.mark.parametrize("file", ["run.json", "measurements-000.arrows", "events.jsonl"])
def test_no_flipped_bit_goes_unseen(folder, file):
    path = folder / "b" / file
    before, bytes_ = path.stat(), bytearray(path.read_bytes())
    bytes_[len(bytes_) // 2] ^= 4
    with open(path, "r+b") as opened:  # in its place
        opened.write(bytes_)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    found = overview_at(folder / "b")
    assert isinstance(found, RunError) or found.incomplete or found.reason
    assert file in runs_text(*with_cards([(folder / "b", found)]), width=200)
    assert same(found, overview_at(folder / "b")), "it is said at every look"


@pytest.mark.parametrize("change", ["grown", "gone", "new", "foreign"])
def test_a_run_with_other_files_is_read_again(folder, opened, change):
    run, log = folder / "a", folder / "a" / "measurements-000.arrows"
    opened.clear()
    if change == "grown":
        log.write_bytes(log.read_bytes() + b"1234")
    elif change == "gone":
        log.unlink()
    elif change == "new":
        shutil.copy2(folder / "b" / "events.jsonl", run / "events.jsonl")
    else:
        shutil.copy2(folder / "b" / log.name, log)
    assert overview_at(run).incomplete
    assert set(opened) | {"a"} == {"a"}


def wrong_version(text):
    return proven_text(text.replace(f'"version": "{VERSION}"'.encode(), b'"version": "0"'))


def wrong_number(text):
    kept = json.loads(text)
    kept["facts"]["row"]["measured"] = "many"
    return proven_text(json.dumps(kept).encode())


DAMAGED = {
    "flipped": lambda text: text.replace(b'"measured": 60', b'"measured": 61'),
    "torn": lambda text: text[: len(text) // 2],
    "empty": lambda _: b"",
    "huge": lambda text: text + b" " * (1 << 20),
    "not JSON": lambda _: b"\xff\xfe",
    "deep": lambda _: proven_text(b'{"gradlens_check": "00000000", "facts": ' + b"[" * 20_000),
    "a list": lambda _: proven_text(b'["gradlens_check"]'),
    "without facts": lambda _: proven_text(b'{"gradlens_check": "00000000"}'),
    "another version": wrong_version,
    "wrong types": wrong_number,
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_summary_that_does_not_fit_is_made_again(folder, opened, damage):
    path = folder / "a" / FILE
    text = path.read_bytes()
    path.write_bytes(DAMAGED[damage](text))
    assert path.read_bytes() != text
    opened.clear()
    assert overview_at(folder / "a").measured == 60
    assert opened == ["a"]
    assert path.read_bytes() == text


def test_a_summary_of_another_run_does_not_count(folder):
    shutil.copy2(folder / "b" / FILE, folder / "a" / FILE)
    assert overview_at(folder / "a").headline.phase == ""


@pytest.mark.parametrize("kind", ["pipe", "folder", "link in a circle"])
def test_something_else_of_its_name_does_no_harm(folder, kind):
    path = folder / "a" / FILE
    path.unlink()
    {"pipe": os.mkfifo, "folder": os.mkdir, "link in a circle": lambda p: os.symlink(p, p)}[kind](path)
    assert overview_at(folder / "a").measured == 60


def test_a_folder_that_cannot_be_written_is_listed(folder, monkeypatch):
    (folder / "a" / FILE).unlink()
    opened = os.open

    def refusing(path, flags, *more, **named):
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", refusing)
    assert overview_at(folder / "a").measured == 60
    assert not (folder / "a" / FILE).exists()


def test_no_row_is_kept_of_a_run_that_was_just_written(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_overview, "TICK_SECONDS", 600.0)
    run = make_run(tmp_path / "new", steps=1)
    assert overview_at(run.path).measured == 1
    assert not (run.path / FILE).exists()


def test_no_row_is_kept_of_live_and_damaged_runs(tmp_path):
    make_run(tmp_path / "live", steps=60, status=None)
    make_run(tmp_path / "damaged", steps=60)
    log = tmp_path / "damaged" / "measurements-000.arrows"
    log.write_bytes(log.read_bytes()[:-40])
    settle(tmp_path)
    found = dict(overviews(tmp_path))
    assert found[tmp_path / "live"].live
    assert not list(tmp_path.glob(f"*/*{FILE}*"))


def test_a_killed_run_keeps_its_row_and_is_still_killed(tmp_path, opened):
    run = make_run(tmp_path / "killed", steps=60, status=None)
    text = (run.path / "run.json").read_text()
    from tests.dashboard_runs import rewrite

    rewrite(run.path, pid_start="another boot:1")
    assert text != (run.path / "run.json").read_text()
    settle(tmp_path)
    first = overview_at(run.path)
    opened.clear()
    assert same(overview_at(run.path), first)
    assert (first.state, opened) == ("killed", [])
    rewrite(run.path, pid_start=run.meta.pid_start)
    assert overview_at(run.path).live


def test_closing_keeps_the_row_and_raises_nothing(tmp_path, opened, monkeypatch):
    run = make_run(tmp_path / "run", steps=60)
    keep_at_close(run.path)
    opened.clear()
    assert same(overview_at(run.path), overview(run))
    assert opened == []
    (run.path / FILE).unlink()
    monkeypatch.setattr(kept_overview, "MOST_BYTES_AT_CLOSE", 10)
    keep_at_close(run.path)
    assert not (run.path / FILE).exists(), "a large run is left to the reader"
    keep_at_close(tmp_path / "nowhere")


def test_a_fact_that_is_no_json_is_not_kept(tmp_path):
    run = make_run(tmp_path / "run", steps=3)
    write_summary(run.path, VERSION, stamp_of(run.path), {"value": float("inf")})
    write_summary(run.path, VERSION, stamp_of(run.path), {"value": "x" * (1 << 20)})
    assert not (run.path / FILE).exists()


def test_the_version_stands_for_numbers_and_words(tmp_path):
    """If this fails because a row is made in another way on purpose, raise VERSION: rows that are kept are then made again."""
    row = to_json(overview(make_run(tmp_path / "run", steps=120, weights=(1.0, 0.3), noise=(0.3, 0.9))))
    (value, low, high, *others), phase, last_phase, *texts = row.pop("headline")
    assert [value, low, high] == pytest.approx(
        [0.19199601301506114, 0.17167718355553094, 0.21231484247459106], rel=1e-9
    )
    sparks = row.pop("sparks")
    assert (len(sparks), sparks[0]) == (32, 0.10902857248846337)
    assert sparks[-2:] == pytest.approx([0.35921854212080573, 0.4303908124880661], rel=1e-9)
    assert (VERSION, others, phase, last_phase[3:], texts, row) == (
        "6", [120, 27.0, ""], "", [0, 0.0, "0 measured steps can be used; an interval needs 53"],
        [False, "head (70), tail (30)", "tail: 49.2% [47.2%, 51.2%] of the update, 10.9% of the samples, "
         "30.0% of the classes: 19.2 points above its part of the classes"],
        {"method": "", "dataset": "", "steps": 120, "measured": 120, "engine": "masked",
         "accuracy": None, "started": 1700000000.0, "cadence": "every 1 steps", "incomplete": [],
         "nonfinite": "", "without_output": "", "unproven": "",
         "grouping": "752f6ae2bc4127b8", "phases": 0, "by_class": False, "seed": 0, "settings": []},
    )  # fmt: skip


def test_only_the_standard_library_is_needed_for_kept_rows(folder):
    import subprocess

    code = "import sys; sys.argv = ['gradlens', 'ls', sys.argv[1]]\nfrom gradlens.commands.main import main\n" + (
        "try: main()\nfinally: print(sorted({m.partition('.')[0] for m in sys.modules} & {'numpy', 'pyarrow', 'torch', 'rich', "
        "'typer', 'pydantic', 'pandas'}))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("\n[]\n"), done.stdout + done.stderr
    assert done.stdout.count("finished") == 3
