"""What a notebook shows of objects: the numbers of an oracle, one figure where plotly is there, and all text escaped."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from gradlens.groups import ClassGroups
from gradlens.metrics.measurement import Measurement
from gradlens.runlog import Run
from tests.made_runs import make_run

EVIL = "<img src=x onerror=alert(1)>"


class Tables(HTMLParser):
    """Collects the rows of tables, and every tag."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.tags, self._cell = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        self._cell = tag if tag in ("td", "th") else self._cell

    def handle_endtag(self, tag):
        self._cell = None if tag in ("td", "th") else self._cell

    def handle_data(self, data):
        if self._cell:
            self.rows[-1].append(data)


@pytest.fixture
def measurement():
    """Gradients head (3, 0), tail (0, 1), rest 0: g = (3, 1), so that all numbers can be worked out by hand."""
    vectors = np.array([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    return Measurement(
        step=7, time=0.0, epoch=None, names=("head", "tail", "rest"), gram=vectors @ vectors.T, layers=None,
        counts=np.array([6.0, 2.0]), loss=np.zeros(2), correct=np.zeros(2), residual=0.0, total_loss=1.25, seconds=0.0,
    )  # fmt: skip


def test_a_measurement(measurement):
    shown = measurement._repr_html_()
    assert Tables(shown).rows == [
        ["group", "samples", "of the samples", "share of the update", "cosine", "norm", "mean norm"],
        ["head", "6", "75.0%", "90.0%", "0.949", "3.000", "4.000"],
        ["tail", "2", "25.0%", "10.0%", "0.316", "1.000", "4.000"],
        ["rest", "0.0%", "-", "0.000"],
    ]
    assert "Measurement of step 7" in shown
    assert "loss 1.250, norm of the gradient 3.162" in shown
    assert "plotly" in shown


def test_groups():
    shown = ClassGroups({"head": [0, 1, 2, 5], "tail": [4]}, 7, rule="mine")._repr_html_()
    assert Tables(shown).rows[1:] == [["head", "4", "80.0%", "0-2+5"], ["tail", "1", "20.0%", "4"]]
    assert "7 classes, 2 of them in no group" in shown
    assert "mine" in shown
    assert "plotly" in shown


def test_a_run(tmp_path):
    run = make_run(tmp_path / "run", steps=60, status=None)
    shown = run._repr_html_()
    counts = run.counts.sum(0)
    head = Tables(shown).rows[1]
    assert head[0] == "head"
    assert head[1] == "70.0%"
    assert head[2] == f"{counts[0] / counts.sum():.1%}"
    gram = run.gram()
    g = gram[:, :3, :3].sum((1, 2))
    assert head[3] == f"{np.mean(gram[:, 0, :3].sum(1) / g):.1%}"
    assert head[4] == f"{np.mean(gram[:, 0, :3].sum(1) / np.sqrt(gram[:, 0, 0] * g)):.3f}"
    assert "measured 60 of 60 steps" in shown
    assert shown.count("plotly-graph-div") == 1


def test_a_run_without_steps_has_no_figure(tmp_path):
    shown = make_run(tmp_path / "run", steps=0)._repr_html_()
    assert "no step yet" in shown
    assert "plotly" not in shown


def test_a_damaged_run_says_so(tmp_path):
    make_run(tmp_path / "run", steps=60)
    (file,) = (tmp_path / "run").glob("measurements-*.arrows")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 255
    file.write_bytes(data)
    run = Run(tmp_path / "run")
    assert run.warnings
    assert run.warnings[0].split(":")[0] in run._repr_html_()


def test_many_groups_are_cut():
    shown = ClassGroups.per_class(100)._repr_html_()
    rows = Tables(shown).rows
    assert [len(rows), rows[-1]] == [14, ["… 88 more"]]
    assert "plotly" not in shown


def test_all_text_is_escaped(tmp_path):
    groups = ClassGroups({EVIL: range(70), "tail": range(70, 100)}, 100, rule=EVIL)
    run = make_run(tmp_path / EVIL.replace("/", "|"), groups=groups, steps=12)
    found = run_measurement(groups)
    for shown in (groups._repr_html_(), run._repr_html_(), found._repr_html_()):
        assert "img" not in Tables(shown).tags
        assert EVIL not in shown


def run_measurement(groups):
    return Measurement(
        step=0, time=0.0, epoch=None, names=(*groups.names, "rest"), gram=np.eye(3), layers=None, counts=np.ones(2),
        loss=np.zeros(2), correct=np.zeros(2), residual=0.0, total_loss=1.0, seconds=0.0,
    )  # fmt: skip


WITHOUT_PLOTLY = """
import sys
sys.modules["plotly"] = None  # what an environment without it does
from gradlens import ClassGroups, Measurement, Run
shown = ClassGroups({"head": [0, 1], "tail": [2]}, 3)._repr_html_()
assert "<table>" in shown and "plotly" not in shown, shown
assert "<table>" in Run(sys.argv[1])._repr_html_()
"""


def test_without_plotly_the_table_stays(tmp_path):
    make_run(tmp_path / "run", steps=12)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PLOTLY, str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
