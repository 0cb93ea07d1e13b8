"""The experiments of the long-tail lab: each runs on the digits in a few epochs, repeats nothing and writes its files."""

import json
import math
import shutil

import pytest


def test_table_3(run, capsys):
    arguments = ["--untracked", "--imbalances", "50", "--seeds", "0", "1", "--methods", "ce", "dual-phase"]
    folder = run("paper/table3", *arguments)
    summary = json.loads((folder / "summary.json").read_text())
    assert [cell["method"] for cell in summary["cells"]] == ["ce", "dual-phase"]
    overall = summary["cells"][1]["accuracy"]["overall"]
    a, b = overall["values"]
    assert overall["mean"] == pytest.approx((a + b) / 2)
    assert overall["std"] == pytest.approx(abs(a - b) / math.sqrt(2))
    assert summary["cells"][1]["settings"]["tau"]["source"]
    # numbers of CIFAR100-LT have no place beside the digits
    assert summary["cells"][0]["paper"] is None
    assert "| 50, dual-phase | data set's | 2 |" in (folder / "table.md").read_text()
    assert (folder / "figure.png").exists()
    assert "RUNS" in summary["command"]
    assert {"torch", "python"} <= set(summary["versions"])
    capsys.readouterr()
    run("paper/table3", *arguments)
    assert "epoch" not in capsys.readouterr().out.replace("best epoch", "")


def test_figure_2(run, capsys, tmp_path):
    arguments = ("--untracked", "--seeds", "0", "1", "--memories", "2", "5", "10", "--multiples", "0", "1")
    folder = run("paper/figure2", *arguments)
    points = json.loads((folder / "summary.json").read_text())["points"]
    assert [(point["setting"], point["value"]) for point in points] == [
        ("memory", 2), ("memory", 5), ("memory", 10), ("retention_weight", 0.0), ("retention_weight", 1.0),
    ]  # fmt: skip
    # memory 10 and the default lambda are one training
    assert points[2]["accuracy"] == points[4]["accuracy"]
    # phase I once for each seed, phase II for each of the 2 x 4 trainings
    printed = capsys.readouterr().out
    assert (printed.count("  phase I "), printed.count("  phase II ")) == (2, 8)
    # in full, the same accuracies
    runs = tmp_path / "figure2-runs"
    shared = json.loads((runs / "dual-phase-digits-memory=5-e1-s1" / "result.json").read_text())
    shutil.rmtree(runs / "dual-phase-digits-memory=5-e1-s1")
    run("paper/figure2", "--untracked", "--seeds", "1", "--memories", "5", "--multiples")
    whole = json.loads((runs / "dual-phase-digits-memory=5-e1-s1" / "result.json").read_text())
    assert whole["last"] == shared["last"]
    assert capsys.readouterr().out.count("  phase I ") == 1
    # a phase I from elsewhere
    elsewhere = str(runs / "dual-phase-digits-memory=5-e1-s1")
    run("paper/figure2", "--untracked", "--seeds", "1", "--memories", "3", "--multiples", "--phase-one", elsewhere)
    assert "  phase I " not in capsys.readouterr().out
    with pytest.raises(SystemExit, match="names 1 runs for 2 seeds"):
        run("paper/figure2", "--untracked", "--seeds", "0", "1", "--phase-one", elsewhere)


def test_figure_3(run):
    folder = run("paper/figure3", "--untracked", "--points", "2", "5")
    assert [point["head_classes"] for point in json.loads((folder / "summary.json").read_text())["points"]] == [2, 5]
    assert "C1 = 5 (the rule)" in (folder / "table.md").read_text()


def test_distortion(run):
    folder = run("paper/distortion")
    summary = json.loads((folder / "summary.json").read_text())
    found = summary["trainings"]["0"]["distortion"]
    assert list(found["dual-phase"]) == ["I", "II"]
    for phases in found.values():
        for row in phases.values():
            assert 0 <= row["distortion"]["value"] <= 1
            assert row["share of head"]["value"] + row["share of tail"]["value"] == pytest.approx(1, abs=1e-6)
    # in phase I only the head, half of the classes, is there
    assert found["dual-phase"]["I"]["distortion"]["value"] == pytest.approx(0.5)
    fall = summary["trainings"]["0"]["fall"]["long-tailed, ce"]["value"]
    expected = (
        found["long-tailed, ce"]["all classes"]["distortion"]["value"]
        - found["dual-phase"]["II"]["distortion"]["value"]
    )
    assert fall == pytest.approx(expected)


def test_short_phases_are_measured_as_often_as_long_ones(run):
    folder = run("paper/distortion", "--measured-steps", "4", "--trainings", "dual-phase")
    found = json.loads((folder / "summary.json").read_text())["trainings"]["0"]["distortion"]["dual-phase"]
    # two of the 10 steps of phase I: every fifth; and all 3 of phase II, of which that would be one
    assert [found[phase]["measured_steps"] for phase in ("I", "II")] == [2, 3]


def test_the_distortion_needs_the_lens(run):
    with pytest.raises(SystemExit, match="--untracked"):
        run("paper/distortion", "--untracked")


def test_precisions_are_compared_seed_by_seed(run):
    folder = run("precision", "--untracked", "--imbalance", "50", "--seeds", "0", "1", "2", "--max-steps", "4")
    summary = json.loads((folder / "summary.json").read_text())
    accuracy = {precision: found["accuracy"]["overall"] for precision, found in summary["precisions"].items()}
    pairs = [a - b for a, b in zip(accuracy["bfloat16"]["values"], accuracy["float32"]["values"], strict=True)]
    mean = sum(pairs) / 3
    half = 4.302653 * math.sqrt(
        sum((pair - mean) ** 2 for pair in pairs) / 2 / 3
    )  # Student's t, two degrees of freedom
    found = summary["difference"]["overall"]
    assert [found["mean"], found["low"], found["high"]] == pytest.approx([mean, mean - half, mean + half], rel=1e-5)
    assert f"{mean:+.2f} [" in (folder / "table.md").read_text()


def test_one_precision_alone_is_trained_and_not_compared(run):
    folder = run("precision", "--untracked", "--imbalance", "50", "--max-steps", "1", "--precisions", "bfloat16")
    assert not folder.exists()


def test_the_training_benchmark(load_experiment, monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(load_experiment.__globals__["EXPERIMENTS"])
    file = tmp_path / "bench.json"
    monkeypatch.setattr(
        "sys.argv",
        ["b", "--device", "cpu", "--depth", "8", "--steps", "2", "--batch", "4", "--repetitions", "1", "--workers", "0",
         "--results", str(file)],
    )  # fmt: skip
    load_experiment("bench_training").main()
    result = json.loads(file.read_text())
    assert set(result["relative_to_bare"]) == {"bare loop", "gradlens.longtail.training.fit", "DataLoader, torchvision"}
    assert result["relative_to_bare"]["bare loop"] == 1
