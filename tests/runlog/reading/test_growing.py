"""Another program may cut a file or write it anew while it is read: the reader says so and lives."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from gradlens.runlog import Run, RunError, list_runs
from gradlens.runlog.reading import growing
from tests.runlog.made import write_run

# In a process of its own: to read a file that is mapped into memory and was cut kills without a word.
CUT = """
import os, sys
from pathlib import Path
from gradlens.runlog import Run, RunError

folder = Path(sys.argv[1])
run = Run(folder)
file = folder / "measurements-000.arrows"
os.truncate(file, {size})
try:
    run.cosine("tail")
except RunError as error:
    print(error)
run.refresh()
print(len(run), len(run.cosine("tail")), len(run.steps))
print(*run.warnings, sep="\\n")
"""


@pytest.fixture
def folder(tmp_path):
    write_run(tmp_path / "run", range(640))
    return tmp_path / "run"


@pytest.mark.parametrize(("size", "rows"), [(0, 0), (50_000, None)], ids=["to nothing", "in the middle"])
def test_a_file_that_is_cut_while_a_run_is_open(folder, size, rows):
    done = subprocess.run(
        [sys.executable, "-c", CUT.format(size=size), str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    cut, counts, *warnings = done.stdout.splitlines()
    assert cut == f"{folder / 'measurements-000.arrows'} was cut while it was read; open the run again"
    left = {int(count) for count in counts.split()}
    assert len(left) == 1
    assert left == {rows} if rows is not None else 0 < left.pop() < 640
    assert len(warnings) == 1
    assert re.search(r"damaged and left out, with the last \d+ of 640 rows|missing", warnings[0]), warnings


def test_a_file_that_is_cut_while_it_is_opened_is_read_at_the_next_look(folder, monkeypatch):
    path = folder / "measurements-000.arrows"
    whole, real = path.read_bytes(), growing.GrowingFile.read
    asked = []

    def read(self, at, count):
        asked.append(at)
        if len(asked) == 3:
            path.write_bytes(b"")  # as `cp` over a file begins
        return real(self, at, count)

    monkeypatch.setattr(growing.GrowingFile, "read", read)
    run = Run(folder)
    assert len(run) == 0
    assert any("was cut while it was read" in text for text in run.warnings)
    path.write_bytes(whole)
    run.refresh()
    assert len(run.cosine("tail")) == 640
    assert run.warnings == ()


def test_another_file_in_its_place_is_no_part_of_the_run(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(growing, "MOST_OPEN", 1)
    run = Run(folder)
    write_run(tmp_path / "other", range(5))
    Run(tmp_path / "other")  # takes the place of the one open file
    path = folder / "measurements-000.arrows"
    other = tmp_path / "copy"
    other.write_bytes(path.read_bytes())
    other.replace(path)
    with pytest.raises(RunError, match="was replaced while it was read; open the run again"):
        run.cosine("tail")


def test_seven_hundred_runs_open_few_files(tmp_path):
    write_run(tmp_path / "runs" / "0", range(5))
    for number in range(1, 700):
        shutil.copytree(tmp_path / "runs" / "0", tmp_path / "runs" / str(number))
    before = len(os.listdir("/proc/self/fd"))
    found = list_runs(tmp_path / "runs")
    assert len(os.listdir("/proc/self/fd")) - before <= 64
    assert [len(run) for _, run in found] == [5] * 700
    assert all(len(run.cosine("tail")) == 5 for _, run in found)  # opened again
    assert len(os.listdir("/proc/self/fd")) - before <= 64
    assert len(growing._OPEN) <= growing.MOST_OPEN
