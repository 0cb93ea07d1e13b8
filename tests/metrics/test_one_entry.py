"""A quantity is added by one entry of the catalogue, and is everywhere then: the recipe of gradlens/metrics/README.md, done."""

import json

import numpy as np
import pytest

from gradlens import figures
from gradlens.analysis.compare import compare
from gradlens.commands.demo.table import DemoColumn, comparison
from gradlens.metrics.catalogue import ANY, QUANTITIES, Quantity, Unit, positive
from gradlens.metrics.measurement import Measurement
from gradlens.metrics.table import with_table
from gradlens.reports.comparison import comparison_tables
from gradlens.reports.export import export
from gradlens.reports.html import render
from gradlens.reports.summary import summary_table
from tests.made_runs import make_run
from tests.reports.printed import printed

TITLE = "share of the update over share of the samples"


def _alignment(steps, group):
    return QUANTITIES["share"].function(steps, group) / positive(QUANTITIES["sample_share"].function(steps, group))


@pytest.fixture
def alignment(monkeypatch):
    entry = Quantity(
        "alignment", TITLE, "alignment", Unit.NUMBER, ANY,
        "(⟨gₖ, g⟩ / ⟨g, g⟩) / (nₖ / batch); 1 = the group steers as its samples would", "group", _alignment,
    )  # fmt: skip
    monkeypatch.setitem(QUANTITIES, "alignment", entry)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [make_run(folder / "lt", layers=2, absent=0.2), make_run(folder / "balanced", weights=(1.0, 1.0), seed=1)]


def by_hand(run, group):
    """Returns [T] alignment from the Gram and the counts alone."""
    A = run.gram()[:, :3, :3]
    k = run.groups.names.index(group)
    share = np.nansum(A[:, k], axis=1) / np.nansum(A, axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(run.counts[:, k] > 0, share / (run.counts[:, k] / run.counts.sum(1)), np.nan)


def test_run_and_measurement_compute_it(alignment, runs):
    for run in runs:
        for group in ("head", "tail"):
            np.testing.assert_allclose(run.quantity("alignment", group), by_hand(run, group), rtol=1e-9)
    assert np.isnan(runs[0].quantity("alignment", "tail")).any()
    assert runs[0].by_layer("alignment", "tail").shape == (len(runs[0]), 2)
    gram = np.array([[9.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    one = Measurement(
        step=7, time=0.0, epoch=None, names=("head", "tail", "rest"), gram=gram, layers=None, counts=np.array([6.0, 2.0]),
        loss=np.zeros(2), correct=np.zeros(2), residual=0.0, total_loss=1.0, seconds=0.0,
    )  # fmt: skip
    assert one.quantity("alignment", "tail") == pytest.approx(0.1 / 0.25)
    assert "alignment" in one._repr_html_()


def test_the_command_line_shows_it(alignment, runs):
    mean = np.nanmean(by_hand(runs[0], "tail"))
    for text in (
        printed(summary_table(runs[0])),
        printed(comparison([DemoColumn("all", None, runs[0], slice(None))], {})),
    ):
        assert "alignment" in text or TITLE in text
        assert f"{mean:.2f}" in text
    rows = {(row.group, row.quantity): row for row in compare(*runs).differences}
    assert rows["tail", TITLE].a.value == pytest.approx(mean)
    assert TITLE in printed(*comparison_tables(*runs))


def test_reports_and_figures_show_it(alignment, runs):
    page = render(runs)
    assert TITLE in page
    assert page.count(f'data-title="{TITLE.capitalize()} of each group"') == 2
    line = next(line for line in figures.quantity_curves(runs[1], "alignment", smooth=1).data if line.name == "tail")
    np.testing.assert_allclose(line.y, by_hand(runs[1], "tail"), rtol=1e-5)
    line = next(line for line in figures.overlay(runs, "alignment", "tail", smooth=1).data if line.name == "balanced")
    np.testing.assert_allclose(line.y, by_hand(runs[1], "tail"), rtol=1e-5)
    assert "alignment" in runs[0]._repr_html_()


def test_many_groups_are_a_heat_map(alignment, tmp_path):
    from gradlens.groups import ClassGroups

    run = make_run(tmp_path / "many", groups=ClassGroups.per_class(12), steps=40)
    figure = figures.quantity_curves(run, "alignment", smooth=1)
    assert figure.data[0].type == "heatmap"
    np.testing.assert_allclose(figure.data[0].z[3], run.quantity("alignment", "3"), rtol=1e-5)


def test_exports_hold_it(alignment, runs, tmp_path):
    pandas = pytest.importorskip("pandas")
    for to, read in (("csv", pandas.read_csv), ("parquet", pandas.read_parquet)):
        table = read(export(runs[0], to, tmp_path / f"run.{to}"))
        np.testing.assert_allclose(table["alignment/tail"], by_hand(runs[0], "tail"), rtol=1e-6)
        assert "alignment/rest" not in table


def test_the_dashboard_shows_it(alignment, runs, monkeypatch):
    pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")
    from tests.app.opened_pages import opened

    folder = runs[0].path.parent
    drawn = opened(monkeypatch, folder, "run", run="lt").get("bidi_component")
    assert any(TITLE in json.dumps(json.loads(element.proto.json)).lower() for element in drawn)
    at = opened(monkeypatch, folder, "compare", quantity="alignment")
    assert at.selectbox(key="quantity").value == "alignment"
    assert TITLE.capitalize() in at.selectbox(key="quantity").options
    tables = "".join(element.proto.body for element in at.get("html"))
    assert TITLE in tables


def test_pages_list_it(alignment):
    page = with_table("<!-- quantities: gradient -->\n<!-- end of quantities -->\n")
    assert (
        f"| {TITLE} | `alignment` | (⟨gₖ, g⟩ / ⟨g, g⟩) / (nₖ / batch); 1 = the group steers as its samples would | any |"
        in page
    )
