"""Every quantity of the catalogue, against numbers that were worked out by hand from vectors that are written out."""

import math

import numpy as np
import pytest

from gradlens.groups import ClassGroups
from gradlens.metrics.catalogue import QUANTITIES, Unit, quantity_of
from gradlens.metrics.measurement import Measurement
from gradlens.runlog import Run, RunMeta, RunWriter

# g_head = (3, 0), g_tail = (0, 4), rest = (0, -1), all of the layer "a"; of "b" each is twice that. In all g = 5 ** 0.5 * (3, 3).
# The optimizer subtracts (1, -2) in "a", and twice that in "b".
VECTORS = np.array([[3.0, 0.0], [0.0, 4.0], [0.0, -1.0], [1.0, -2.0]])


LAYERS = np.stack([VECTORS @ VECTORS.T, 4 * VECTORS @ VECTORS.T])


SCALE = math.sqrt(5)


BY_HAND = {
    ("sample_share", "tail"): 2 / 8,
    ("share", "head"): 9 / 18,
    ("share", "tail"): 12 / 18,
    ("share", "rest"): -3 / 18,
    ("cosine", "tail"): 1 / math.sqrt(2),
    ("norm", "tail"): 4 * SCALE,
    ("norm", "rest"): SCALE,
    ("mean_norm", "tail"): 4 * SCALE * 8 / 2,
    ("loss_per_sample", "head"): 0.25,
    ("accuracy", "head"): 5 / 6,
    # Lowers the loss of the head, and raises that of the tail: the inner products are 3 and -8 in "a", four times that in "b".
    ("benefit", "head"): 5 * 3 * 8 / 6,
    ("benefit", "tail"): 5 * -8 * 8 / 2,
    ("conflict", "tail", "rest"): -1.0,
    ("overall_norm",): 3 * math.sqrt(2) * SCALE,
    ("total_loss",): 1.75,
    ("residual",): 1e-7,
}


def measured(step=0, *, absent=False, exponent=0):
    gram, layers, counts = LAYERS.sum(0), LAYERS.copy(), np.array([6.0, 2.0])
    if absent:
        counts[1] = 0
        for A in (gram, *layers):
            A[1, :] = A[:, 1] = np.nan
    return Measurement(
        step=step, time=0.0, epoch=0, names=("head", "tail", "rest", "update"), gram=gram, layers=layers, counts=counts,
        loss=np.array([1.5, np.nan]), correct=np.array([5.0, np.nan]), residual=1e-7, total_loss=1.75, seconds=0.0,
        exponent=exponent,
    )  # fmt: skip


@pytest.fixture
def run(tmp_path):
    groups = ClassGroups({"head": range(7), "tail": range(7, 10)}, 10)
    writer = RunWriter(tmp_path / "run", RunMeta(groups.to_json(), layer_names=("a", "b")))
    writer.append_many([measured(0), measured(1, absent=True)])
    writer.close()
    return Run(tmp_path / "run")


def test_each_quantity_has_its_number(run):
    one = measured()
    for (name, *of), value in BY_HAND.items():
        assert one.quantity(name, *of) == pytest.approx(value), name
        assert run.quantity(name, *of)[0] == pytest.approx(value), name
    assert {name for name, *_ in BY_HAND} == {name for name, q in QUANTITIES.items() if q.of != "run"}


def test_a_layer_has_its_own_numbers(run):
    for layer, scale in (("a", 1), ("b", 2)):
        assert run.quantity("norm", "tail", layer=layer)[0] == pytest.approx(4 * scale)
        assert run.quantity("share", "tail", layer=layer)[0] == pytest.approx(12 / 18)
    np.testing.assert_allclose(run.by_layer("mean_norm", "tail"), [[16, 32], [np.nan, np.nan]])
    np.testing.assert_allclose(run.by_layer("share", "head", np.array([1])), [[9 / 10, 9 / 10]])  # g = (3, -1)


def test_a_group_without_samples_has_no_number(run):
    for q in QUANTITIES.values():
        if q.of in ("vector", "group") and q.name != "sample_share":
            assert math.isnan(measured(absent=True).quantity(q.name, "tail")), q.name
            assert math.isnan(run.quantity(q.name, "tail")[1]), q.name
    assert run.quantity("sample_share", "tail")[1] == 0
    assert run.quantity("share", "head")[1] == pytest.approx(9 / 10)


def test_norms_are_those_of_gradients_that_were_stored_divided(run, tmp_path):
    far = measured(exponent=450)
    writer = RunWriter(tmp_path / "far", RunMeta(run.groups.to_json(), layer_names=("a", "b")))
    writer.append(far)
    writer.close()
    for (name, *of), value in BY_HAND.items():
        expected = value * 2.0 ** (450 * QUANTITIES[name].degree)
        assert far.quantity(name, *of) == pytest.approx(expected), name
        assert Run(tmp_path / "far").quantity(name, *of)[0] == pytest.approx(expected), name


def test_norms_have_degree_one_and_only_they():
    assert {q.name for q in QUANTITIES.values() if q.degree == 1} == {
        q.name for q in QUANTITIES.values() if q.unit is Unit.GRADIENT
    }


def test_numbers_lie_in_their_ranges(run):
    for (name, *of), value in BY_HAND.items():
        low, high = quantity_of(name).range
        assert low <= value <= high
        assert low <= run.quantity(name, *of)[0] <= high


def test_what_cannot_be_asked_for(run):
    for source in (run, measured()):
        with pytest.raises(ValueError, match=r"quantity='angle'; choose one of sample_share, share, cosine"):
            source.quantity("angle", "tail")
        with pytest.raises(ValueError, match=r"conflict needs 2 vector name\(s\), and got 1"):
            source.quantity("conflict", "tail")
        with pytest.raises(ValueError, match=r"distortion is one number for a run"):
            source.quantity("distortion")
        with pytest.raises(KeyError, match=r"no vector 'few'.*head, tail, rest"):
            source.quantity("cosine", "few")
        with pytest.raises(KeyError, match=r"no group 'rest'.*head, tail"):
            source.quantity("accuracy", "rest")
    with pytest.raises(KeyError, match="no layer 'c'"):
        run.quantity("cosine", "tail", layer="c")
