"""A lens whose training goes on past it says so, once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gradlens import Lens
from gradlens.guards.warning import GradlensWarning
from gradlens.runlog import Run
from tests.engines.zoo import GROUPS
from tests.lens.training import batches, loss_of, mlp


def messages(run: Run) -> list[str]:
    return [event["message"] for event in run.events if event["kind"] == "misuse"]


def test_a_lens_that_the_backward_passes_do_not_reach_says_so(tmp_path: Path) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with (  # noqa: PT031
        pytest.warns(GradlensWarning, match=r"3 steps.*no backward pass through the lens.*call lens\.backward"),
        Lens(model, GROUPS, optimizer=optimizer, every=1, out=tmp_path / "run"),
    ):
        for x, y in batches(6):
            optimizer.zero_grad()
            loss_of(model, x, y).backward()
            optimizer.step()
    assert len(messages(Run(tmp_path / "run"))) == 1


def test_an_optimizer_that_never_steps_is_said(tmp_path: Path) -> None:
    model = mlp()
    given, used = (torch.optim.SGD(model.parameters(), lr=0.1) for _ in range(2))
    with (  # noqa: PT031
        pytest.warns(GradlensWarning, match=r"4 backward passes, and no step of the optimizer.*the one that steps"),
        Lens(model, GROUPS, optimizer=given, every=1, out=tmp_path / "run") as lens,
    ):
        for x, y in batches(4):
            used.zero_grad()
            lens.backward(loss_of(model, x, y), y)
            used.step()
    assert len(messages(Run(tmp_path / "run"))) == 1


def test_steps_of_others_in_between_are_no_misuse(tmp_path: Path) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Lens(model, GROUPS, optimizer=optimizer, every=1, out=tmp_path / "run") as lens:
        for x, y in batches(8):
            optimizer.zero_grad()
            optimizer.step()  # nothing to do: a warm-up
            optimizer.zero_grad()
            lens.backward(loss_of(model, x, y), y)
            optimizer.step()
    assert messages(Run(tmp_path / "run")) == []
