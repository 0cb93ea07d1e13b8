"""What a lens is told to log stands in its run at the current step."""

import pytest
import torch
import torch.nn.functional as F

import gradlens
from gradlens import ClassGroups, Lens, Run

GROUPS = ClassGroups({"head": [0], "tail": [1]}, 2)


def trained(lens_options, steps=3):
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(4, 2), torch.tensor([0, 0, 1, 1])
    losses = []
    with Lens(model, GROUPS, optimizer=optimizer, every=1, **lens_options) as lens:
        for step in range(steps):
            loss = F.cross_entropy(model(x), y)
            lens.backward(loss, y)
            gradlens.log(loss=loss)
            losses.append(loss.item())
            if step == 1:
                lens.log(step=0, **{"val/loss": 0.25})
            optimizer.step()
            optimizer.zero_grad()
    return losses


def test_values_are_logged_at_the_current_step_or_at_the_step_that_is_named(tmp_path):
    losses = trained({"out": tmp_path / "run"})
    run = Run(tmp_path / "run")
    assert run.logged("loss").steps.tolist() == [0, 1, 2]
    assert run.logged("loss").values.tolist() == pytest.approx(losses, rel=1e-12)
    assert (run.logged("val/loss").steps.tolist(), run.logged("val/loss").values.tolist()) == ([0], [0.25])


def test_a_lens_without_a_run_takes_them_and_keeps_nothing():
    trained({})


def test_a_wrong_name_or_value_is_an_error_before_anything_is_kept(tmp_path):
    model = torch.nn.Linear(2, 2)
    with Lens(model, GROUPS, out=tmp_path / "run") as lens:
        with pytest.raises(TypeError, match="losses is a Tensor of shape"):
            lens.log(fine=1.0, losses=torch.ones(3))
        with pytest.raises(ValueError, match="'a\\\\n' is no name"):
            lens.log(**{"a\n": 1})
    assert Run(tmp_path / "run").logged_names == ()
