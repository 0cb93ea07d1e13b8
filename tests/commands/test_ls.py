"""`gradlens ls` as a process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gradlens.analysis.distortion import distortion
from gradlens.commands.ls import print_runs
from gradlens.runlog import Run
from gradlens.runlog.format.card import Card, write_card
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


def test_filters_sorts_and_json(tmp_path, capsys):
    for seed, name in enumerate(("a", "b", "c")):
        make_run(tmp_path / name, steps=20, seed=seed, weights=(1.0, 0.1 + 0.3 * seed))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    write_card(tmp_path / "c", Card(tags=("old",), place="archived"))

    def listed(*args, **more):
        print_runs(tmp_path, *args, as_json=True, **more)
        return json.loads(capsys.readouterr().out)

    found = listed()
    assert [Path(run["path"]).name for run in found] == ["a", "b", "broken"]
    assert "error" in found[-1]
    run = Run(tmp_path / "a")
    assert found[0]["distortion"]["value"] == pytest.approx(distortion(run), rel=1e-9)
    assert (found[0]["seed"], found[0]["measured"], found[0]["accuracy"]) == (0, 20, None)
    assert [Path(run["path"]).name for run in listed(["seed>=1"], "-seed", everything=True)] == ["c", "b"]
    assert listed(["tag=old"]) == []
    assert listed(["tag=old"], everything=True)[0]["place"] == "archived"


def test_the_options_of_the_command(runs):
    done = subprocess.run([*LS, str(runs), "--filter", "seeed=0"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "gradlens: error: no run here has 'seeed'; did you mean seed?\n")
