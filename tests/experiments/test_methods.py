"""The experiment over all methods: its numbers against others, and that one method's error leaves the others' results."""

import json
import math

import numpy as np
import pytest

from gradlens.runlog import Run


@pytest.fixture
def measured(load_experiment):
    return load_experiment("paper/measured")


def test_the_intervals(measured):
    # Wilson's interval of 10 of 20; Student's t with two degrees of freedom
    half = measured.binomial(50.0, 20)
    assert [half.value, half.low, half.high] == pytest.approx([50, 29.93, 70.07], abs=0.01)
    assert measured.binomial(0.0, 20).low == 0
    found = measured.over_seeds([1.0, 2.0, 3.0])
    assert [found.value, found.low, found.high] == pytest.approx(
        [2, 2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)]
    )
    assert measured.pooled([{"value": 1.0, "low": 0.0, "high": 2.0, "samples": 1, "freedom": 1}, None], 0, 1) is None


def test_a_ratio_of_falls_needs_a_head_whose_loss_falls_or_rises(measured):
    noise = np.random.default_rng(0).standard_normal((200, 2))
    assert measured._ratio_of_falls(noise) is None
    assert measured._ratio_of_falls(noise * 0.1 + [2.0, 3.0])["value"] == pytest.approx(1.5, rel=0.02)


def test_each_phase_is_measured(run, measured, tmp_path, capsys):
    names = ["ce", "dual-phase", "ncm", "no-such"]
    with pytest.raises(SystemExit, match=r"not trained: no-such \(LongTailError: no method 'no-such'"):
        run("paper/methods", "--imbalance", "50", "--seeds", "0", "1", "--methods", *names)
    folder = tmp_path / "methods-results"
    methods = json.loads((folder / "summary.json").read_text())["methods"]
    assert list(methods) == names[:3]
    assert [phase["name"] for phase in methods["dual-phase"]["phases"]] == ["I", "II"]
    # nothing is trained in NCM's second phase, but it has an accuracy
    second = methods["ncm"]["phases"][1]
    assert second["share"] is None
    assert second["accuracy"]["value"] == pytest.approx(np.mean(methods["ncm"]["accuracy"]["few"]))
    pairs = np.subtract(methods["dual-phase"]["accuracy"]["few"], methods["ce"]["accuracy"]["few"])
    assert methods["dual-phase"]["few_over_base"]["value"] == pytest.approx(pairs.mean())
    assert {"command", "versions", "git_commit"} <= json.loads((folder / "summary.json").read_text()).keys()
    assert "What one must not conclude" in (folder / "table.md").read_text()
    # shares and falls from the inner products themselves
    one = Run(tmp_path / "methods-runs" / "ce-digits-if50-e1-s0")
    gram = one.gram()
    h, t = (one.names.index(name) for name in ("head", "tail"))
    whole = gram[:, : len(one.names), : len(one.names)].sum(2)  # <g_k, g>
    counts = np.stack([one.quantity("sample_share", name) for name in ("head", "tail")], 1)
    there = counts[:, 1] > 0
    falls = whole[there][:, [h, t]] / counts[there]
    found = methods["ce"]["phases_of_seeds"][0][0]
    assert found["fall"]["value"] == pytest.approx(falls[:, 1].mean() / falls[:, 0].mean(), rel=1e-4)
    assert found["sample_share"]["value"] == pytest.approx(np.nan_to_num(counts[:, 1]).mean())
