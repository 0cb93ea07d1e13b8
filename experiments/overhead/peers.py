"""The methods of other packages: gradients of single samples, added up by group, or Jacobians of the groups' losses.

Each package is used as its documentation says, in the cheapest way. If it computes the gradients of all samples, the gradient of
training is their sum, so there is no second backward pass.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from overhead.cases import Setup, gram_of, grouped_gram
from overhead.methods import HEAVY, OWN, Method, Refusal, Step


def torch_func(setup: Setup) -> Step:
    """Returns a step with ``torch.func.vmap(grad)``: each sample runs through the model by itself."""
    buffers = dict(setup.model.named_buffers())

    def loss_of(params: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        logits = torch.func.functional_call(setup.model, (params, buffers), (image.unsqueeze(0),))
        return F.cross_entropy(logits, label.unsqueeze(0))

    each = torch.func.vmap(torch.func.grad(loss_of), (None, 0, 0), randomness="different")

    def step() -> Tensor:
        params = {name: param.detach() for name, param in setup.model.named_parameters()}
        found = each(params, setup.inputs, setup.labels)
        for name, param in setup.model.named_parameters():
            param.grad = found[name].mean(0)
        setup.optimizer.step()
        return grouped_gram(list(found.values()), setup.masks / len(setup.labels))

    return step


def opacus(setup: Setup) -> Step:
    """Returns a step with ``GradSampleModule`` of Opacus."""
    from opacus import GradSampleModule

    model = GradSampleModule(setup.model, loss_reduction="mean")

    def step() -> Tensor:
        model.zero_grad()
        F.cross_entropy(model(setup.inputs), setup.labels).backward()
        found = grouped_gram([param.grad_sample for param in setup.params], setup.masks / len(setup.labels))
        setup.optimizer.step()
        return found

    return step


def backpack(setup: Setup) -> Step:
    """Returns a step with ``BatchGrad`` of BackPACK."""
    from backpack import backpack as extended
    from backpack import extend
    from backpack.extensions import BatchGrad

    model, criterion = extend(setup.model), extend(nn.CrossEntropyLoss())

    def step() -> Tensor:
        setup.optimizer.zero_grad()
        loss = criterion(model(setup.inputs), setup.labels)
        with extended(BatchGrad()):
            loss.backward()
        _require_batch_gradients(setup.model)
        # The gradients of the samples hold the factor 1 / B of the mean already.
        found = grouped_gram([param.grad_batch for param in setup.params], setup.masks)
        for param in setup.params:
            del param.grad_batch
        setup.optimizer.step()
        return found

    return step


def _require_batch_gradients(model: nn.Module) -> None:
    unknown = {
        type(module).__name__
        for module in model.modules()
        for param in module.parameters(recurse=False)
        if not hasattr(param, "grad_batch")
    }
    if unknown:
        raise Refusal(f"no grad_batch for the parameters of {', '.join(sorted(unknown))}")


def autojac(setup: Setup) -> Step:
    """Returns a step with ``autojac`` of TorchJD: the rows of the Jacobian of the groups' losses add up to the gradient."""
    from torchjd import autojac as jd

    def step() -> Tensor:
        rows = F.cross_entropy(setup.model(setup.inputs), setup.labels, reduction="none")
        jd.backward(setup.masks @ rows / len(rows), inputs=setup.params)
        vectors: list[list[Tensor | None]] = [[param.jac[k] for param in setup.params] for k in range(len(setup.masks))]
        found = gram_of(vectors)
        for param in setup.params:
            param.grad = param.jac.sum(0)
            del param.jac
        setup.optimizer.step()
        return found

    return step


def autogram(setup: Setup) -> Step:
    """Returns a step with ``autogram`` of TorchJD: inner products of the samples' gradients, added up by group."""
    from torchjd.autogram import Engine

    engine = Engine(setup.model, batch_dim=0)

    def step() -> Tensor:
        setup.optimizer.zero_grad()
        rows = F.cross_entropy(setup.model(setup.inputs), setup.labels, reduction="none")
        gramian = engine.compute_gramian(rows).double()  # [B, B]
        rows.mean().backward()
        setup.optimizer.step()
        weights = setup.masks.double() / len(rows)
        return (weights @ gramian @ weights.T).cpu()

    return step


PEERS: dict[str, Method] = {
    "torch.func, vmap(grad)": torch_func,
    "Opacus, GradSampleModule": opacus,
    "BackPACK, BatchGrad": backpack,
    "TorchJD, autojac": autojac,
    "TorchJD, autogram": autogram,
}

METHODS: dict[str, Method] = OWN | HEAVY | PEERS
