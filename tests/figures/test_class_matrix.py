"""The matrix of cosines between classes: its numbers, its colours, and classes without samples."""

import numpy as np
import pytest

from gradlens import figures
from gradlens.groups import ClassGroups
from gradlens.metrics.measurement import Measurement
from gradlens.runlog import Probe, Run, RunWriter
from tests.figures.pair import NASTY


def probe_of(gram, counts):
    names = tuple(map(str, range(len(gram))))
    counts = np.asarray(counts, dtype=float)
    measurement = Measurement(7, 0.0, None, names, gram, None, counts, counts, counts, 0.0, 1.0, 0.0)
    return Probe(measurement, ClassGroups.per_class(len(gram)), (), "", 0, None)


@pytest.fixture(scope="module")
def hundred():
    """A hundred classes whose gradients have cosines of about 0.03 with each other; one has no sample."""
    g = np.random.default_rng(0).standard_normal((100, 1000))
    gram = g @ g.T
    gram[40] = gram[:, 40] = np.nan
    counts = np.round(500 * 0.01 ** (np.arange(100) / 99))
    counts[40] = 0
    return probe_of(gram, counts)


def test_the_diagonal_does_not_set_the_colours_of_a_hundred_classes(hundred):
    heat = figures.class_cosines(hundred).data[0]
    pairs = np.abs(heat.z[~np.eye(100, dtype=bool)])
    pairs = pairs[np.isfinite(pairs)]
    assert np.allclose(np.diagonal(heat.z)[:99], 1)
    assert pairs.max() < 0.2
    assert heat.zmax == -heat.zmin == 0.1
    assert (pairs <= heat.zmax).mean() > 0.98
    assert (pairs > heat.zmax / 5).mean() > 0.3  # and they use the colours
    assert "colours end at ±0.1, the diagonal is 1" in figures.class_cosines(hundred).layout.title.subtitle.text
    alike = probe_of(np.array([[1, 0.9, 0], [0.9, 1, 0.2], [0, 0.2, 1]]), [3, 2, 1])
    assert figures.class_cosines(alike).data[0].zmax == 1


def test_a_class_without_samples_is_grey_in_the_matrix(hundred):
    heat, missing, entry = figures.class_cosines(hundred).data
    np.testing.assert_array_equal(np.isfinite(missing.z), np.isnan(heat.z))
    assert np.isfinite(missing.z).sum() == 199
    assert missing.colorscale[0][1] == entry.marker.color == figures.LIGHT.missing
    assert len(figures.class_cosines(probe_of(np.eye(3), [1, 2, 3])).data) == 1


def test_class_figures_of_a_probe(tmp_path, runs):
    groups = ClassGroups({"cat": [0], NASTY: [1], "emu": [2]}, 3)
    writer = RunWriter(tmp_path / "probed", runs[1].meta)
    gram = np.array([[4, 0, -4, 0], [0, 1, 1, 0], [-4, 1, 16, 0], [0, 0, 0, 0]], dtype=float)
    counts = np.array([5.0, 500, 50])
    names = ("cat", NASTY, "emu", "rest")
    writer.probe(7, 1, names, gram, None, counts, counts, counts, 0.1, groups.to_json(), label="after epoch 1")
    writer.close()
    (probe,) = Run(tmp_path / "probed").probes
    order, cosine = figures.frequency_order(probe)
    assert order == [NASTY, "emu", "cat"]
    np.testing.assert_allclose(cosine, [[1, 0.25, 0], [0.25, 1, -0.5], [0, -0.5, 1]])
    figure = figures.class_cosines(probe)
    np.testing.assert_allclose(figure.data[0].z, cosine)
    assert "step 7" in figure.layout.title.subtitle.text
    assert "<script" not in figure.to_json()
    shares = figures.class_shares(probe).data[0]
    # |g|^2 = 4 + 1 + 16 + 2 (-4 + 1) = 15; rows add up to 0, 2, 13
    np.testing.assert_allclose(shares.y, [0, 2 / 15, 13 / 15])
    np.testing.assert_allclose(shares.x, counts)
