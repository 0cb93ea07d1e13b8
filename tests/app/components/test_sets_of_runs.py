"""Runs sorted into sets, of which the means are drawn."""

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from gradlens.runlog.format.card import Card
from gradlens_dashboard.components.sets_of_runs import EACH, METHOD, SEEDS, TAG, sets_of, ways
from tests.analysis.listed import listed
from tests.app.opened_pages import charts, opened
from tests.made_runs import make_run

RUNS = [
    listed("ce-0", seed=0, settings=(("lr", "0.1"),)),
    listed("ce-1", seed=1, settings=(("lr", "0.1"),), card=Card(tags=("paper", "old"))),
    listed("ce-2", seed=0, settings=(("lr", "0.2"),)),
    listed("ldam-0", seed=0, method="ldam", settings=(("lr", "0.1"), ("margin", "0.5")), card=Card(tags=("paper",))),
]


@pytest.mark.parametrize(
    ("way", "sets"),
    [
        (SEEDS, {"ce lr=0.1": ["ce-0", "ce-1"], "ce lr=0.2": ["ce-2"], "ldam": ["ldam-0"]}),
        (METHOD, {"ce": ["ce-0", "ce-1", "ce-2"], "ldam": ["ldam-0"]}),
        ("lr", {"lr = 0.1": ["ce-0", "ce-1", "ldam-0"], "lr = 0.2": ["ce-2"]}),
        ("margin", {"no margin": ["ce-0", "ce-1", "ce-2"], "margin = 0.5": ["ldam-0"]}),
        (TAG, {"no tag": ["ce-0", "ce-2"], "paper": ["ce-1", "ldam-0"], "old": ["ce-1"]}),
    ],
)
def test_sets(way, sets):
    assert sets_of(RUNS, way) == sets


def test_ways():
    assert list(ways(RUNS)) == [EACH, SEEDS, METHOD, TAG, "lr", "margin"]
    assert list(ways(RUNS[:2])) == [EACH, SEEDS, METHOD, TAG]


def test_the_page_draws_means_over_seeds(monkeypatch, tmp_path):
    for seed in range(3):
        for method, weights in (("ce", (1.0, 0.1)), ("ldam", (1.0, 0.6))):
            make_run(tmp_path / f"{method}-{seed}", steps=60, seed=seed, weights=weights, meta={"method": method})
    names = [f"{method}-{seed}" for method in ("ce", "ldam") for seed in range(3)]
    at = opened(monkeypatch, tmp_path, "compare", runs=names, draw="seeds")
    for key in ("distortion", "overlay"):
        figure = charts(at)[key]
        assert [trace["name"] for trace in figure["data"] if trace.get("showlegend")] == ["ce (3)", "ldam (3)"]
        assert sum(trace.get("fill") == "toself" for trace in figure["data"]) == 2
