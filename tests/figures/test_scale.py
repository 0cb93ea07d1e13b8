"""Logarithmic axes and counts: ticks are labelled with the plain numbers."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

from gradlens import figures
from gradlens.figures._scale import counts_axis, log_axis, log_ticks
from gradlens.runlog import Run
from tests.made_runs import make_run

CHROMIUM = shutil.which("chromium")


def test_norms_of_every_figure_can_be_logarithmic(tmp_path):
    run = make_run(tmp_path / "run", steps=60, layers=2, components=("cls", "intra"), weights=(1.0, 0.01))
    plain = make_run(tmp_path / "plain", steps=60, layers=2, weights=(1.0, 0.01))
    drawn = [
        (figures.norms(plain, log=True).layout.yaxis, plain.norm("tail")),
        (figures.component_norms(run, log=True).layout.yaxis, run.norm("intra")),
        (figures.figure1(plain, plain, log=True).layout.yaxis3, plain.norm("tail")),
        (
            figures.layer_curves(plain, plain.layers[0], log=True).layout.yaxis2,
            plain.norm("tail", layer=plain.layers[0]),
        ),
        (figures.overlay([plain], "norm", "tail", log=True).layout.yaxis, plain.norm("tail")),
    ]
    for axis, values in drawn:
        assert axis.type == "log"
        assert axis.tickformat == ",~g"
        low, high = 10 ** np.array(axis.range)
        assert low <= np.quantile(values, 0.01)
        assert np.quantile(values, 0.99) <= high
    for figure in (
        figures.overlay([plain], "share", "tail", log=True),
        figures.norms(plain),
        figures.figure1(plain, plain),
    ):
        assert not any("type" in axis for key, axis in figure.layout.to_plotly_json().items() if "axis" in key)
    assert figures.figure1(plain, plain, log=True).layout.yaxis.type is None  # cosines


def test_norms_that_are_all_zero_stay_on_a_linear_axis(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run", steps=30)
    monkeypatch.setattr(Run, "norm", lambda run, *a, **k: np.zeros(30))
    assert figures.norms(run, log=True).layout.yaxis.type is None


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (2, 200, ["2", "5", "10", "20", "50", "100", "200"]),
        (0.0004, 0.03, ["0.0005", "0.001", "0.002", "0.005", "0.01", "0.02"]),
        (1, 90_000, ["1", "10", "100", "1,000", "10,000"]),
        (21, 52, ["30", "40", "50"]),
        (3.11, 3.12, ["3.11", "3.12"]),
    ],
)
def test_ticks_of_logarithmic_colours(low, high, wanted):
    places, texts = log_ticks(low, high)
    assert texts == wanted
    np.testing.assert_allclose(10 ** np.array(places), [float(text.replace(",", "")) for text in texts])


def labels(axes, tmp_path):
    """Returns the labels that plotly itself writes at horizontal axes with these settings."""
    specs = [
        ({"x": list(x), "y": [1] * len(x)}, {"xaxis": axis, "width": 700, "height": 300, "template": {}})
        for x, axis in axes
    ]
    divs = "".join(f'<div id="p{i}"></div>' for i in range(len(specs)))
    calls = ";".join(f"Plotly.newPlot('p{i}', [{json.dumps(d)}], {json.dumps(o)})" for i, (d, o) in enumerate(specs))
    page = tmp_path / "page.html"
    page.write_text(
        f"<!doctype html><meta charset=utf-8><body>{divs}<script>{get_plotlyjs()}</script><script>{calls}</script>"
    )
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=20000",
        "--dump-dom",
        str(page),
    ]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    parts = dom[dom.rindex("</script>") - 1 :] if 'class="xtick"' not in dom else dom
    found = []
    for i in range(len(specs)):
        part = parts[parts.index(f'id="p{i}"') :]
        end = part.find(f'id="p{i + 1}"')
        found.append(re.findall(r'<g class="xtick"><text[^>]*>([^<]*)</text>', part[: end if end > 0 else None]))
    return found


@pytest.mark.skipif(CHROMIUM is None, reason="no browser: apt-get install chromium")
@pytest.mark.timeout(300)
def test_a_browser_writes_whole_and_real_numbers(tmp_path):
    wide, narrow, equal = np.array([5.0, 25, 500]), np.array([34.0, 35]), np.array([40.0, 40])
    middle, tiny, steps = (16, 33, 58), (2e-9, 4e-8), make_run(tmp_path / "few", steps=3)
    found = labels(
        [
            (wide, counts_axis(wide)),
            (narrow, counts_axis(narrow)),
            (equal, counts_axis(equal)),
            (middle, log_axis(16, 58)),
            (tiny, log_axis(*tiny)),
            ((0.003, 0.03), log_axis(0.003, 0.03)),
            (range(3), figures.cosines(steps).layout.xaxis.to_plotly_json()),
        ],
        tmp_path,
    )
    assert found[0] == ["5", "10", "20", "50", "100", "200", "500"]
    assert found[1] == ["34", "35"]
    assert "100" in found[2]
    assert set(found[3]) >= {"20", "30", "40", "50"}
    assert set(found[4]) >= {"5e−9", "1e−8", "2e−8"}
    assert "0.01" in found[5]
    assert len(found[5]) <= 7
    assert not {"2", "5"} & {text for texts in found[3:6] for text in texts}
    assert found[6] == ["0", "1", "2"]
