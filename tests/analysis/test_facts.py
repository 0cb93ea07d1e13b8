"""The facts about a run."""

from gradlens.analysis.facts import facts, overhead_text
from tests.made_runs import make_run


def test_facts(tmp_path):
    meta = {
        "class_counts": (50.0, 5.0), "method": "ce", "engine": "split", "engine_reason": "no module mixes samples",
        "hyperparameters": {"lr": 0.1},
    }  # fmt: skip
    run = make_run(tmp_path / "run", steps=5, every=10, meta=meta)
    found = dict(facts(run))
    assert found["training images"] == "55 in 2 classes, 50 to 5 a class"
    assert found["engine"] == "split (no module mixes samples)"
    assert found["measured"] == "5 of 41 steps"
    assert found["command"] == "train.py --seed 0"
    assert found["hyper-parameter lr"] == "0.1"
    assert found["largest residual"].startswith("1.0e-07")
    assert "torch" in found["versions"]
    assert "data set" not in found
    assert overhead_text(make_run(tmp_path / "empty", steps=0)) is None
