"""`gradlens train`: what it prints, keeps, resumes and refuses."""

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from gradlens.analysis.distortion import distortion
from gradlens.commands.train import app, default_folder
from gradlens.groups import ClassGroups
from gradlens.longtail.training.training_run import RESULT
from gradlens.runlog import Run

RUNNER = CliRunner()


def train(*arguments):
    return RUNNER.invoke(app, [str(argument) for argument in arguments])


def test_help_names_the_methods_and_data_sets():
    printed = train("--help").output
    for word in ("dual-phase", "plain-2t", "imagenet-lt", "--resume", "--set"):
        assert word in printed


def test_help_says_the_defaults_of_the_data_sets(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    printed = train("--help").output
    for words in (
        "30 for digits, 200 for CIFAR, 90 for imagenet-lt",
        "100 for CIFAR, 50 for digits",
        "$GRADLENS_DATA, then ./data",
    ):
        assert words in printed


def test_a_validation_split_and_what_was_chosen_on_it(tmp_path):
    out = tmp_path / "run"
    done = train("ce", "digits", "--epochs", 2, "--validation", 5, "--out", out, "--untracked")
    assert done.exit_code == 0, done.output
    result = json.loads((out / RESULT).read_text())
    best = result["best"]
    assert (
        f"validation, best epoch ({best['epoch']}, chosen on validation): overall {best['overall']:.2f}" in done.output
    )
    assert f"test, that epoch: many {best['other_splits']['test']['many']:.2f}" in done.output
    assert "; 50 for validation)" in done.output


def test_an_untracked_training_and_its_result(tmp_path):
    out = tmp_path / "run"
    done = train("dual-phase", "digits", "--epochs", 2, "--set", "tau=1", "--out", out, "--untracked", "--seed", 3)
    assert done.exit_code == 0, done.output
    assert "last epoch" in done.output
    assert "distortion" not in done.output
    result = json.loads((out / RESULT).read_text())
    assert result["settings"]["tau"] == {"value": 1.0, "source": "command line"}
    assert result["settings"]["momentum"]["source"].startswith("gradlens")
    assert [phase["epochs"] for phase in result["phases"]] == [2, 2]
    assert len(result["history"]) == 4
    assert result["best"]["overall"] == max(row["overall"] for row in result["history"])
    # again: refused without --resume, and nothing to do with it
    for options in (["--untracked"], []):
        taken = train("dual-phase", "digits", "--epochs", 2, "--out", out, *options)
        assert taken.exit_code == 2
        assert "--out" in taken.output
        assert "--resume" in taken.output
        assert "--name" not in taken.output
    before = (out / RESULT).read_bytes()
    same = ("--epochs", 2, "--set", "tau=1", "--out", out, "--untracked", "--seed", 3, "--resume")
    assert train("dual-phase", "digits", *same).exit_code == 0
    assert train("dual-phase", "digits", *[option for option in same if option != "--untracked"]).exit_code == 0
    assert (out / RESULT).read_bytes() == before
    # the result of another training is not that of this one
    for other, says in (
        (("plain", "digits", *same[:2], *same[4:]), "method: dual-phase there, plain here"),
        (("dual-phase", "digits", *same, "--seed", 4), "seed: 3 there, 4 here"),
        (("dual-phase", "digits", *same, "--epochs", 3), "phases: I:2 II:2 there, I:3 II:3 here"),
        (("dual-phase", "digits", *same, "--set", "tau=2"), "tau: 1.0 there, 2.0 here"),
        (("dual-phase", "digits", *same, "--imbalance", 10), "subset: "),
    ):
        refused = train(*other)
        assert refused.exit_code == 2
        assert says in " ".join(refused.output.split()), refused.output
    (out / RESULT).unlink()
    refused = train("dual-phase", "digits", *[option for option in same if option != "--untracked"])
    assert "resume it with --untracked" in " ".join(refused.output.split())
    (out / RESULT).write_text("{")
    refused = train("dual-phase", "digits", *same)
    assert refused.exit_code == 2
    assert "is not a result" in refused.output


def test_a_tracked_training_is_one_run_of_two_phases(tmp_path):
    out = tmp_path / "run"
    done = train("dual-phase", "digits", "--epochs", 3, "--out", out, "--every", 1, "--probe-every", 3)
    assert done.exit_code == 0, done.output
    run = Run(out)
    assert run.status.state == "finished"
    assert [phase.name for phase in run.phases] == ["I", "II"]
    assert run.groups.names == ("head", "tail")
    # counts 124 80 51 33 21 | 14 9 5 3 2: 309 images, 10 batches in phase I; 5 x 10 + 33 = 83, 3 batches in phase II
    assert run.steps.tolist() == list(range(3 * 10 + 3 * 3))
    assert run.counts[:30, 1].sum() == 0
    assert run.counts[:30, 0].sum() == 3 * 309
    assert run.counts[30:].sum(0).tolist() == [150, 99]
    # the head's share alone in phase I; what is printed of phase II is its gap by hand, less what the noise of nine steps adds
    head = run.share("head")[30:].mean()
    few = "measured [^;]*; an interval needs 53"
    why = f"no interval of phase I: 30 {few}, phase II: 9 {few}; a longer training has more"
    says = re.search(rf"phase I 0\.500 .* phase II (\S+)  \({why}\)", done.output)
    assert float(says.group(1)) == pytest.approx(distortion(run, 30), abs=6e-4)
    assert 0 <= float(says.group(1)) <= abs(head - 0.5) + 6e-4
    assert run.residual[np.isfinite(run.residual)].max() < 1e-5
    assert set(run.components) == {"classification", "intra", "retention"}
    assert run.meta.method == "dual-phase"
    assert run.meta.dataset == "digits"
    assert run.meta.hyperparameters["tau"] == {"value": 0.05, "source": run.meta.hyperparameters["tau"]["source"]}
    assert run.meta.subset_hash
    assert [row["epoch"] for row in run.evaluations][-1] is not None
    assert len([row for row in run.evaluations if "overall" in row]) == 6
    # each class by itself: those that the classifier has, 5 in phase I and 10 in phase II
    assert [len(probe.groups) for probe in run.probes] == [5, 10]
    for probe, classes in zip(run.probes, (5, 10), strict=True):
        assert probe.groups.names == ClassGroups.per_class(classes).names
        assert probe.groups.classes == tuple((c,) for c in range(classes))
        assert probe.gram.shape == (len(probe.names),) * 2
        assert set(probe.groups.names) <= set(probe.names)


def test_tracking_does_not_change_the_training(tmp_path):
    results = []
    for name, options in (("plain", ["--untracked"]), ("tracked", ["--every", 1, "--update"])):
        out = tmp_path / name
        assert train("dual-phase", "digits", "--epochs", 2, "--out", out, *options).exit_code == 0
        history = json.loads((out / RESULT).read_text())["history"]
        results.append([{key: value for key, value in row.items() if key != "seconds"} for row in history])
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["dualphase", "digits"], "no method 'dualphase'"),
        (["ce", "mnist"], "no data set 'mnist'; give one of"),
        (["ce", "CIFAR100"], "no data set 'CIFAR100'; did you mean 'cifar100-lt'?; give one of"),
        (["ce", "digits", "--set", "speed=1"], "no setting 'speed'"),
        (["ce", "digits", "--set", "speed"], "write NAME=VALUE"),
        (["dual-phase", "digits", "--imbalance", "2"], "C1 = 10 of 10"),
        (["ce", "cifar100-lt", "--data", "absent"], "cifar100 not found"),
        (["ce", "digits", "--imbalance", "5000"], "leaves"),
        (["ce", "digits", "--imbalance", "0"], "imbalance=0"),
        (["ce", "digits", "--validation", "500"], "choose at most 123"),
        (["ce", "imagenet-lt", "--validation", "5"], "ImageNet-LT not found"),
        (["ce", "absent.npz"], "absent.npz is no file"),
        (["ce", "digits", "--device", "gpu"], "device 'gpu' cannot be used here"),
        (["ce", "digits", "--engine", "magic"], "engine 'magic' is not known; choose one of"),
        (["plain", "digits", "--set", "scale=0"], "scale=0.0"),
        (["ce", "digits", "--set", "warm_up=-1"], "warm_up=-1"),
        # what phase II cannot work with is refused before phase I
        (["dual-phase", "digits", "--set", "tau=0"], "tau=0.0"),
        (["dual-phase", "digits", "--set", "retention_reduction=max"], "reduction='max'"),
        (["dual-phase", "digits", "--set", "intra_hardest=0"], "hardest=0"),
        (["dual-phase", "digits", "--set", "intra_negatives=old"], "negatives='old'"),
        (["dual-phase", "digits", "--set", "head_classes=10"], "head_classes=10 of 10"),
        (["dual-phase", "digits", "--set", "head_classes=0"], "head_classes=0 of 10"),
        (["dual-phase", "digits", "--set", "memory=0"], "memory=0"),
    ],
)
def test_what_cannot_work_is_one_message(tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    done = train(*arguments, "--untracked")
    assert done.exit_code == 2
    assert says in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "runs").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for out in ("file", "file/run"):
        done = train("ce", "digits", "--epochs", 1, "--out", tmp_path / out, "--untracked")
        assert done.exit_code == 2
        assert "cannot make the folder" in done.output


def test_default_folders_are_free_ones_or_the_latest_to_resume(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "ce-cifar100-lt-if50-s0"
    assert default_folder("ce", "cifar100-lt", 50, 0, resume=False).name == name
    assert default_folder("ce", "cifar100-lt", 50, 0, resume=True).name == name
    (tmp_path / "runs" / name).mkdir(parents=True)
    assert default_folder("ce", "cifar100-lt", 50, 0, resume=False).name == f"{name}-2"
    (tmp_path / "runs" / f"{name}-2").mkdir()
    assert default_folder("ce", "cifar100-lt", 50, 0, resume=True).name == f"{name}-2"


def test_how_the_network_computes_is_recorded_as_it_was_resolved(tmp_path):
    out = tmp_path / "run"
    quick = ("--epochs", 1, "--max-steps", 1, "--untracked", "--out", out)
    options = ("--precision", "bfloat16", "--memory-format", "channels_last")
    assert train("ce", "digits", *quick, *options).exit_code == 0
    settings = json.loads((out / RESULT).read_text())["settings"]
    assert settings["precision"] == {"value": "bfloat16", "source": "command line"}
    assert settings["memory_format"] == {"value": "channels_last", "source": "command line"}
    assert settings["compile"]["value"] is False
    refused = train("ce", "digits", *quick, "--resume")
    assert refused.exit_code == 2
    assert "precision: bfloat16 there, float32 here" in " ".join(refused.output.split())


@pytest.mark.parametrize("fastest", ["float32", "bfloat16"])
def test_auto_is_the_fastest_precision_of_the_device(tmp_path, monkeypatch, fastest):
    monkeypatch.setattr("gradlens.commands.train.fastest_precision", lambda device: fastest)
    quick = ("--epochs", 1, "--max-steps", 1, "--untracked", "--out", tmp_path / "run")
    assert train("ce", "digits", *quick, "--precision", "auto").exit_code == 0
    assert json.loads((tmp_path / "run" / RESULT).read_text())["settings"]["precision"]["value"] == fastest


def test_an_unknown_precision_is_answered_with_the_known_ones(tmp_path):
    refused = train("ce", "digits", "--precision", "float16", "--out", tmp_path / "run")
    assert refused.exit_code == 2
    assert "precision='float16'; choose 'float32' or 'bfloat16'" in " ".join(refused.output.split())


def test_a_wrong_precision_makes_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = train("ce", "digits", "--precision", "float16")
    assert done.exit_code == 2
    assert "choose 'float32' or 'bfloat16'" in done.output
    assert list(tmp_path.iterdir()) == []
