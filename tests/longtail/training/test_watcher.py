"""A training that nobody watches has the gradient of the sum of its losses."""

import torch

from gradlens.longtail.training.watcher import Unwatched, total


def test_the_gradient_is_that_of_the_sum():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    losses = {"a": (x**2).sum(), "b": 3 * x[0], "c": -x[1]}
    assert total(losses).item() == 5 + 3 - 2
    Unwatched().backward(losses, None)
    assert x.grad.tolist() == [2 + 3, 4 - 1]


def test_one_loss_is_itself():
    loss = torch.ones((), requires_grad=True)
    assert total({"only": loss}) is loss
