"""A script's own names of phases and moments reach every active lens, and nobody else."""

import warnings

import pytest
import torch

import gradlens
from gradlens import marks
from gradlens.guards.warning import GradlensWarning


class Noting:
    """Stands for a lens: keeps what it is told."""

    def __init__(self, *parameters):
        self.parameters, self.told = parameters, []

    def phase(self, name):
        self.told.append(("phase", name))

    def mark(self, text):
        self.told.append(("mark", text))

    def log(self, step=None, **values):
        self.told.append(("log", step, values))


@pytest.fixture
def active():
    entered = []

    def enter(lens):
        marks.enter(lens)
        entered.append(lens)
        return lens

    yield enter
    for lens in entered:
        marks.leave(lens)


def test_every_active_lens_is_told_once(active):
    one, other, gone = active(Noting()), active(Noting()), active(Noting())
    marks.leave(gone)
    gradlens.phase("II")
    gradlens.mark("new data")
    assert one.told == other.told == [("phase", "II"), ("mark", "new data")]
    assert gone.told == []


def test_without_a_lens_nothing_happens(active):
    assert not marks.present()
    gradlens.phase("I")
    gradlens.mark("x")
    lens = active(Noting())
    assert marks.present()
    marks.leave(Noting())  # one that is not there
    marks.leave(lens)
    marks.leave(lens)
    assert not marks.present()


def test_another_lens_of_the_same_parameters_is_found(active):
    shared, own = torch.ones(2), torch.ones(2)
    one = active(Noting(shared))
    asked = []

    def params(*tensors):
        return lambda: asked.append(tensors) or tensors

    assert not marks.measured(params(shared), unless=one)
    assert asked == []  # no other lens: the parameters are not even asked for
    assert marks.measured(params(own, shared), unless=None)
    assert not marks.measured(params(own), unless=None)  # equal values are another parameter
    other = active(Noting(shared))
    assert marks.measured(params(shared), unless=other)


def test_what_is_marked_before_a_tracked_lens_reaches_the_first_one(active):
    end = marks.keep_early()
    gradlens.phase("I")
    gradlens.mark("data are ready")
    one = active(Noting())
    marks.catch_up(one)
    gradlens.phase("II")
    other = active(Noting())
    marks.catch_up(other)
    end()
    assert one.told == [("phase", "I"), ("mark", "data are ready"), ("phase", "II")]
    assert other.told == []


def test_nothing_is_kept_where_nobody_tracks(active):
    gradlens.phase("I")
    one = active(Noting())
    marks.catch_up(one)
    assert one.told == []


def test_logged_values_reach_every_lens_and_without_one_it_is_said_once(active, monkeypatch):
    monkeypatch.setattr(marks, "_said", False)
    with pytest.warns(GradlensWarning, match="gradlens.log keeps nothing: no lens measures this training") as said:
        gradlens.log(loss=1)
    assert said[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gradlens.log(loss=2)
    one, other = active(Noting()), active(Noting())
    gradlens.log(loss=3)
    gradlens.log(step=5, **{"val/loss": 4})
    assert one.told == other.told == [("log", None, {"loss": 3}), ("log", 5, {"val/loss": 4})]


def test_wrong_names_and_values_are_errors_with_and_without_a_lens(active):
    for _ in range(2):
        with pytest.raises(TypeError, match="loss is a Tensor of shape"):
            gradlens.log(loss=torch.ones(2))
        with pytest.raises(ValueError, match="is no name"):
            gradlens.log(**{"": 1})
        active(Noting())


def test_values_before_a_tracked_lens_are_kept_as_they_were(active, monkeypatch):
    monkeypatch.setattr(marks, "_said", False)
    end = marks.keep_early()
    rate = torch.tensor(0.5)
    gradlens.log(lr=rate)
    gradlens.phase("I")
    rate.mul_(2)
    one = active(Noting())
    marks.catch_up(one)
    assert one.told == [("log", None, {"lr": 0.5}), ("phase", "I")]
    marks.leave(one)
    gradlens.phase("II")
    end()
    end = marks.keep_early()
    gradlens.log(lr=0.5)
    with pytest.warns(GradlensWarning, match="keeps nothing"):
        end()  # nothing was measured: it is said that they are lost
