"""The Figure 1 experiment: what it would run, and that it repeats nothing that is finished."""

import sys
from types import SimpleNamespace

import pytest


@pytest.fixture
def figure1(load_experiment):
    return load_experiment("paper/figure1")


def option(command, name):
    return command[command.index(name) + 1]


def test_both_trainings_share_the_groups_and_differ_in_the_data(figure1, tmp_path):
    long_tailed, balanced = figure1.plan(
        figure1.parse_arguments(["--runs", str(tmp_path), "--seeds", "2", "3", "--data", "D"]), 3
    )
    assert set(balanced.command) - set(long_tailed.command) == {
        "--balanced",
        str(balanced.run),
        str(balanced.accuracies),
    }
    for training in (long_tailed, balanced):
        assert option(training.command, "--groups") == "head=0-69,tail=70-99"
        assert option(training.command, "--seed") == "3"
        assert option(training.command, "--data") == "D"
        assert training.command[:4] == (sys.executable, "-m", "gradlens", "track")


@pytest.mark.parametrize(
    ("epochs", "imbalance", "every", "groups"),
    # 10,847 images in batches of 64 are 170 steps, 12,608 are 197; at least 2,000 steps are measured.
    [(15, 100, 1, "head=0-69,tail=70-99"), (200, 100, 17, "head=0-69,tail=70-99"), (30, 50, 2, "head=0-81,tail=82-99")],
)
def test_cadence_and_groups_follow_from_the_data(figure1, epochs, imbalance, every, groups):
    for training in figure1.plan(figure1.parse_arguments(["--epochs", str(epochs), "--imbalance", str(imbalance)]), 0):
        assert option(training.command, "--every") == str(every)
        assert option(training.command, "--groups") == groups


def test_a_finished_run_is_not_repeated(figure1, tmp_path, monkeypatch, capfd):
    training = figure1.Training("t", tmp_path / "run", tmp_path / "a.json", (sys.executable, "-c", "print('trained')"))
    monkeypatch.setattr(figure1, "Run", lambda path: SimpleNamespace(status=SimpleNamespace(state="finished")))
    training.run.mkdir()
    figure1.execute(training)
    out = capfd.readouterr().out
    assert "already there" in out
    assert "trained\n" not in out


def test_an_unfinished_run_is_moved_aside_and_run_anew(figure1, tmp_path, monkeypatch, capfd):
    training = figure1.Training("t", tmp_path / "run", tmp_path / "a.json", (sys.executable, "-c", "print('trained')"))
    monkeypatch.setattr(figure1, "Run", lambda path: SimpleNamespace(status=SimpleNamespace(state="killed")))
    for number in (1, 2):
        training.run.mkdir()
        (training.run / "kept").write_text(str(number))
        figure1.execute(training)
        assert (tmp_path / f"run.unfinished-{number}" / "kept").read_text() == str(number)
    assert capfd.readouterr().out.count("trained\n") == 2


def test_a_failing_training_ends_the_experiment(figure1, tmp_path):
    training = figure1.Training(
        "t", tmp_path / "run", tmp_path / "a.json", (sys.executable, "-c", "raise SystemExit(3)")
    )
    with pytest.raises(SystemExit, match="exit code 3"):
        figure1.execute(training)


def test_a_folder_that_is_no_run_is_not_finished(figure1, tmp_path):
    assert not figure1.is_finished(tmp_path / "absent")
    assert not figure1.is_finished(tmp_path)
