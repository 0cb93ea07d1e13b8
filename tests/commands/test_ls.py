"""`gradlens ls` as a process."""

import subprocess
import sys

import pytest

from tests.made_runs import make_run

LS = [sys.executable, "-m", "gradlens", "ls"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name in ("a", "b"):
        make_run(folder / name, steps=20)
    return folder


def test_both_ways_to_the_list_print_the_same(runs):
    """A folder alone is not parsed; with anything else, the parser of the command line calls the same function."""
    direct, parsed = (
        subprocess.run([*LS, *more], capture_output=True, text=True, check=True).stdout
        for more in ([str(runs)], ["--", str(runs)])
    )
    assert direct == parsed
    assert direct.count("finished") == 2


def test_a_reader_that_goes_away_is_no_error(runs):
    with subprocess.Popen([*LS, str(runs)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_help_and_errors(tmp_path):
    done = subprocess.run([*LS, "--help"], capture_output=True, text=True, check=True)
    assert "Lists the runs in a folder." in done.stdout
    done = subprocess.run([*LS, str(tmp_path / "gone")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"gradlens: error: {tmp_path / 'gone'} is no folder; give the folder that holds the runs\n"
