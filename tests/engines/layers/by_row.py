"""What a layer's rule must give: the gradient of each row, as autograd finds it in float64."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradlens.engines.layers import kind_of


def expect_gradient_of_each_row(layer: nn.Module, inputs: Tensor) -> None:
    """Compares the rule's gradients with autograd's, row by row where it can, and summed."""
    layer.double()
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    grads = torch.randn(layer(inputs).shape, dtype=torch.float64)
    kind = kind_of(layer)
    assert kind is not None
    assert kind.refusal(layer) is None
    trained = {name: param for name, param in layer.named_parameters() if param.requires_grad}
    truth: dict[str, list[Tensor]] = {name: [] for name in trained}
    for row in range(len(inputs)):
        output = layer(inputs[row : row + 1])
        found = torch.autograd.grad(output, list(trained.values()), grads[row : row + 1])
        for name, gradient in zip(trained, found, strict=True):
            truth[name].append(gradient)
    summed = kind.gradients(layer, inputs, grads, False)
    each = kind.gradients(layer, inputs, grads, True) if kind.each else {}
    for name, rows in truth.items():
        assert summed[name].shape == trained[name].shape
        torch.testing.assert_close(summed[name], torch.stack(rows).sum(0))
        if kind.each:
            torch.testing.assert_close(each[name], torch.stack(rows))
