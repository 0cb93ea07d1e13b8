"""Several fits in one process, one after another, nested, and beside a lens of the script: each measures its own training."""

from __future__ import annotations

import io
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter

from gradlens import ClassGroups, Lens
from gradlens.integrations.tracked_fit import UNREPORTED, TrackedFit, options_of
from gradlens.runlog import Run

CLASSES = ((0, 1), (2, 3))
GROUPS = ClassGroups({"a": CLASSES[0], "b": CLASSES[1]}, 4)
SCALE = 2.0**16
PLACES = [
    (torch.amp.GradScaler, "scale"), (F, "cross_entropy"), (F, "nll_loss"), (torch.autograd, "backward"),
    (torch.autograd, "grad"), (DataLoader, "__iter__"), (_BaseDataLoaderIter, "_next_index"),
    (saved_tensors_hooks, "__enter__"), (torch.Tensor, "backward"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def torch_is_left_as_it_was(monkeypatch):
    monkeypatch.setattr(sys, "__stderr__", io.StringIO())
    before = [vars(owner)[name] for owner, name in PLACES]
    yield
    assert [vars(owner)[name] for owner, name in PLACES] == before


class Training:
    """A training under a gradient scaler, and the norms that brute force finds in its steps."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = nn.Linear(8, 4)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=SCALE)
        self.norms: list[list[float]] = []
        self._data = torch.Generator().manual_seed(seed)

    def steps(self, number: int, lens: Lens | None = None) -> None:
        """Trains."""
        for _ in range(number):
            x, y = torch.randn(32, 8, generator=self._data), torch.arange(32) % 4
            self.norms.append([self._norm(x, y, classes) for classes in CLASSES])
            loss = self.scaler.scale(F.cross_entropy(self.model(x), y))
            loss.backward() if lens is None else lens.backward(loss, y)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad()

    def _norm(self, x, y, classes) -> float:
        """By hand: the gradient of softmax regression is (p - onehot)^T x / n, and its column sums for the bias."""
        weight, bias = (p.detach().double() for p in self.model.parameters())
        rest = (x.double() @ weight.T + bias).softmax(1) - F.one_hot(y, 4)
        rest = rest * torch.isin(y, torch.tensor(classes))[:, None] / len(y)
        return float(torch.cat([(rest.T @ x.double()).flatten(), rest.sum(0)]).norm())


def expect(run: Run, training: Training, steps: list[int]) -> None:
    assert run.steps.tolist() == steps
    for found, expected in zip(zip(run.norm("a"), run.norm("b"), strict=True), steps, strict=True):
        assert found == pytest.approx(training.norms[expected], rel=1e-5)
    assert max(run.residual) < 1e-5


def begin(folder) -> TrackedFit:
    fit = TrackedFit(options_of("a=0-1,b=2-3", folder, 1, None), "fit")
    fit.begin()
    return fit


def ended(fit: TrackedFit) -> Run:
    path = fit.run_path
    fit.end()
    return Run(path)


def test_one_after_another(tmp_path):
    for seed in range(3):
        training, fit = Training(seed), begin(tmp_path / str(seed))
        training.steps(3)
        expect(ended(fit), training, [1, 2])
        training.steps(1)


def test_one_after_another_that_failed_without_a_word(tmp_path):
    """As in a notebook: a Trainer of Transformers tells its callbacks of no exception."""
    first, second = Training(0), Training(1)
    fit = TrackedFit(options_of("a=0-1,b=2-3", None, 1, None), str(tmp_path / "fit"))
    fit.begin()
    first.steps(3)
    failed = Run(fit.run_path)
    fit.begin()
    second.steps(3)
    expect(ended(fit), second, [1, 2])
    failed.refresh()
    expect(failed, first, [1, 2])
    assert (failed.status.state, failed.status.reason) == (
        "failed",
        "RuntimeError: another training began, and nobody had reported the end of this one",
    )


def test_a_fit_that_failed_is_told_from_one_that_runs_around_the_new_one(tmp_path):
    around, failed, inner = Training(0), Training(1), Training(2)
    outside = begin(tmp_path / "outside")
    around.steps(3)
    fit = TrackedFit(options_of("a=0-1,b=2-3", tmp_path / "failed", 1, None), "fit")
    fit.begin(still_runs=lambda: False)
    failed.steps(3)
    again = begin(tmp_path / "again")
    inner.steps(3)
    found = Run(tmp_path / "failed")
    expect(found, failed, [1, 2])
    assert (found.status.state, found.status.reason) == ("failed", f"RuntimeError: {UNREPORTED}")
    expect(ended(again), inner, [1, 2])
    around.steps(2)
    expect(ended(outside), around, [1, 2, 3, 4])


def test_nested(tmp_path):
    outer, inner = Training(0), Training(1)
    around = begin(tmp_path / "outer")
    outer.steps(3)
    inside = begin(tmp_path / "inner")
    inner.steps(25)  # more than after which another model is taken to have replaced the known one
    expect(ended(inside), inner, list(range(1, 25)))
    outer.steps(2)
    expect(ended(around), outer, [1, 2, 3, 4])


def test_a_fit_that_ends_before_the_one_in_it(tmp_path):
    outer, inner = Training(0), Training(1)
    around = begin(tmp_path / "outer")
    outer.steps(3)
    inside = begin(tmp_path / "inner")
    inner.steps(2)
    expect(ended(around), outer, [1, 2])
    inner.steps(2)
    expect(ended(inside), inner, [1, 2, 3])


@pytest.mark.parametrize("lens_first", [True, False])
@pytest.mark.parametrize("lens_closed_first", [True, False])
def test_beside_a_lens_of_the_script(lens_first, lens_closed_first, tmp_path):
    by_hand, fitted = Training(0), Training(1)
    fit = None if lens_first else begin(tmp_path / "fit")
    if fit is not None:
        fitted.steps(2)
    lens = Lens(by_hand.model, GROUPS, optimizer=by_hand.optimizer, every=1, out=tmp_path / "lens")
    fit = fit or begin(tmp_path / "fit")
    for _ in range(3):
        by_hand.steps(1, lens)
        fitted.steps(1)
    if lens_closed_first:
        lens.close()
    fitted.steps(1)
    expect(ended(fit), fitted, list(range(1, len(fitted.norms))))
    if not lens_closed_first:
        by_hand.steps(1, lens)
        lens.close()
    expect(Run(tmp_path / "lens"), by_hand, list(range(len(by_hand.norms))))


def test_the_model_of_a_lens_is_left_to_it(tmp_path):
    training = Training(0)
    with Lens(training.model, GROUPS, optimizer=training.optimizer, every=1, out=tmp_path / "lens") as lens:
        fit = begin(tmp_path / "fit")
        training.steps(3, lens)
        fit.end()
    assert not (tmp_path / "fit").exists()
    assert "a lens of its own" in sys.__stderr__.getvalue()
    expect(Run(tmp_path / "lens"), training, [0, 1, 2])


def test_wrong_use_is_said_before_training():
    with pytest.raises(ValueError, match="exclude each other"):
        options_of(None, None, 1, 0.1)
    with pytest.raises(ValueError, match="groups: "):
        options_of("head:0-69", None, None, None)
    assert options_of(GROUPS, None, 3, None).groups_from == GROUPS.to_json()
