"""More groups than can be lines: the heat map shows what was asked for, smoothed as asked, and says which cells are empty."""

import csv
import io
from itertools import pairwise

import numpy as np
import pytest

from gradlens import figures
from gradlens.figures import FigureError, _heat
from gradlens.groups import ClassGroups
from gradlens.runlog import Run
from tests.dashboard_runs import phases
from tests.figures.pair import subtitle
from tests.made_runs import make_run

GROUPS = ClassGroups.per_class(12)


STEPS, BEGIN = 60, 25


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "many"
    make_run(path, steps=STEPS, groups=GROUPS, layers=3, weights=(1.0, 0.5, 0.1, 0.01), absent=0.6)
    phases(path, I=0, II=BEGIN)
    return Run(path)


def neighbours(step, window):
    """Returns the steps that a running mean at a step averages: of one phase only."""
    first, stop = (0, BEGIN) if step < BEGIN else (BEGIN, STEPS)
    return slice(max(first, step - window // 2), min(stop, step + (window - 1) // 2 + 1))


def by_hand(values, window):
    return np.array(
        [
            seen.mean() if (seen := (part := values[neighbours(t, window)])[np.isfinite(part)]).size else np.nan
            for t in range(len(values))
        ]
    )


def mean_norms(run):
    """Returns [K, T] norms of mean gradients from Grams and counts: the contribution times batch / the group's samples."""
    A, n = run.gram(), run.counts
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.array(
            [np.sqrt(A[:, k, k]) * n.sum(1) / np.where(n[:, k], n[:, k], np.nan) for k in range(len(GROUPS))]
        )


@pytest.mark.parametrize("smooth", [None, 1, 5, 20])
def test_every_quantity_of_many_groups_is_what_it_is_called(run, smooth):
    window = smooth or 1
    A = run.gram()[:, :13, :13]  # groups and rest
    present = np.nan_to_num(A)
    norms = np.sqrt(np.array([A[:, k, k] for k in range(12)]))
    against = np.array([np.where(np.isnan(A[:, k, k]), np.nan, present[:, k].sum(1)) for k in range(12)])
    whole = present.sum((1, 2))
    wanted = {
        figures.cosines: against / (norms * np.sqrt(whole)),
        figures.norms: norms,
        "mean": mean_norms(run),
    }
    for draw, values in wanted.items():
        figure = figures.norms(run, per="mean", smooth=smooth) if draw == "mean" else draw(run, smooth=smooth)
        heat = figure.data[0]
        np.testing.assert_allclose(heat.z, [by_hand(row, window) for row in values], rtol=1e-5)
    assert not np.allclose(wanted["mean"], wanted[figures.norms], equal_nan=True)
    shares = figures.shares(run, smooth=smooth).data[0].z
    smoothed = np.array([by_hand(np.nan_to_num(row), window) for row in against / whole])
    absent = np.array([np.isnan(by_hand(row, window)) for row in against])
    np.testing.assert_allclose(shares, np.where(absent, np.nan, smoothed), rtol=1e-4, atol=1e-7)
    layers = figures.layer_heatmap(run, "11", "norm", smooth=smooth).data[0].z
    of_layers = [by_hand(run.norm("11", layer=layer), window) for layer in run.layers]
    np.testing.assert_allclose(layers, of_layers, rtol=1e-5)


def test_the_subtitle_says_whose_norm_and_over_what_is_averaged(run, monkeypatch):
    def said(**more):
        return figures.norms(run, **more).layout.title.subtitle.text

    assert "contribution to the batch gradient" in said()
    assert "mean gradient over its own samples" in said(per="mean")
    assert "measured steps" not in said()
    assert "mean of 20 measured steps" in said(smooth=20)
    monkeypatch.setattr(_heat, "BINS", 20)
    assert "each cell about 3 measured steps" in said()


def test_cells_of_several_steps_average_the_running_mean(run, monkeypatch):
    monkeypatch.setattr(_heat, "BINS", 6)
    heat = figures.norms(run, per="mean", smooth=7).data[0]
    ends = [round(x) for x in heat.x]
    assert BEGIN in ends
    smooth = np.array([by_hand(row, 7) for row in mean_norms(run)])
    for cell, (a, b) in enumerate(pairwise(ends)):
        seen = smooth[:, a:b]
        sums, numbers = np.nansum(seen, axis=1), np.isfinite(seen).sum(1)
        np.testing.assert_allclose(heat.z[:, cell], np.where(numbers, sums / np.maximum(numbers, 1), np.nan), rtol=1e-5)


def test_missing_cells_are_grey_and_zeros_are_not(run):
    theme = figures.LIGHT
    for draw in (figures.cosines, figures.norms, figures.shares):
        figure = draw(run)
        heat, missing, entry = figure.data
        np.testing.assert_array_equal(np.isnan(heat.z), np.isfinite(missing.z))
        assert 10 < np.isfinite(missing.z).sum() < 12 * STEPS
        assert {color for _, color in missing.colorscale} == {entry.marker.color} == {theme.missing}
        assert not {theme.missing, theme.paper} & {color for _, color in heat.colorscale}
        assert entry.showlegend
        assert "no sample" in entry.name
        assert f"grey: {entry.name}" in figure.layout.title.subtitle.text
        assert figure.layout.yaxis.matches is None


def test_logarithmic_colours_have_real_numbers_on_their_scale(run, monkeypatch):
    values = mean_norms(run)
    values[3, 7] = 0.0
    everything, quantity = {("mean_norm", str(k)): row for k, row in enumerate(values)}, Run.quantity
    monkeypatch.setattr(
        Run,
        "quantity",
        lambda run, *what, **more: everything[what] if what in everything else quantity(run, *what, **more),
    )
    figure = figures.norms(run, per="mean", log=True)
    heat = figure.data[0]
    known = values > 0
    np.testing.assert_allclose(heat.z[known], np.log10(values[known]), rtol=1e-4, atol=1e-5)
    bar = heat.colorbar
    assert len(bar.tickvals) >= 3
    assert [float(text.replace(",", "")) for text in bar.ticktext] == pytest.approx(10 ** np.array(bar.tickvals))
    assert all(heat.zmin - 1e-9 <= place <= heat.zmax + 1e-9 for place in bar.tickvals)
    # a norm of zero is no missing cell: it has the lowest colour and its own number
    assert heat.z[3, 7] == pytest.approx(heat.zmin)
    assert np.isnan(figure.data[1].z[3, 7])
    rows = list(csv.DictReader(io.StringIO(figures.figure_csv(figure))))
    assert len(rows) == 12 * STEPS
    written = np.array([float(row["value"] or "nan") for row in rows]).reshape(12, STEPS)
    np.testing.assert_allclose(written, values, rtol=1e-5)


def test_figure1_of_many_groups_reaches_the_tail(run):
    figure = figures.figure1(run, run)
    assert [t.name for t in figure.data if t.showlegend] == ["0", "2", "3", "5", "6", "8", "9", "11", "overall"]
    assert "8 of 12 groups" in figure.layout.title.subtitle.text


def test_layers(runs):
    figure = figures.layer_heatmap(runs[0], "tail", "norm")
    heat = figure.data[0]
    assert np.asarray(heat.z).shape == (4, 160)
    norm = runs[0].norm("tail", layer="block.0.conv")
    # the cells are means over 1 or 2 of 200 steps: all of them together are the mean of the run
    widths = np.diff(np.linspace(0, 200, 161).round())
    weights = [
        np.isfinite(norm[int(a) : int(b)]).sum()
        for a, b in zip(np.cumsum(widths) - widths, np.cumsum(widths), strict=True)
    ]
    assert np.nansum(np.asarray(heat.z)[0] * weights) / np.sum(weights) == pytest.approx(np.nanmean(norm), rel=1e-4)
    assert list(figure.layout.yaxis.ticktext) == [f"block.{i}.conv" for i in range(4)]
    with pytest.raises(FigureError, match=r"no vector 'nose'.*head, tail"):
        figures.layer_heatmap(runs[0], "nose")
    with pytest.raises(FigureError, match=r"quantity='loss'.*cosine"):
        figures.layer_heatmap(runs[0], "tail", "loss")


def test_many_groups_become_a_heat_map(tmp_path):
    run = make_run(tmp_path / "classes", steps=30, groups=ClassGroups.per_class(12))
    for draw in (figures.cosines, figures.norms, figures.shares):
        figure = draw(run)
        assert [t.type for t in figure.data] == ["heatmap"]
        assert np.asarray(figure.data[0].z).shape == (12, 30)
    assert len(figures.conflicts(run, smooth=1).data) == 8
    assert "66 pairs" in figures.conflicts(run).layout.title.subtitle.text


def test_gaps_in_heat_maps_are_explained(tmp_path):
    groups = ClassGroups.per_class(10)
    gaps = make_run(tmp_path / "gaps", steps=40, groups=groups, layers=2, absent=0.5)
    full = make_run(tmp_path / "full", steps=40, groups=groups, layers=2)
    for draw in (figures.cosines, figures.layer_heatmap):
        assert "grey: no sample" in subtitle(draw(gaps))
        assert "grey: " not in subtitle(draw(full))
