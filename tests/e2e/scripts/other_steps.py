"""python other_steps.py STYLE [TIMES]: steps that are not one backward pass followed by optimizer.step()."""

import sys

import torch
import torch.nn.functional as F
from loops import TIMES, criterion, loader, main, make_data
from torch import nn


def lbfgs(model):
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=4)
    x, y = make_data()[::TIMES]

    def closure():
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        return loss

    for i in range(4 * TIMES):
        loss = optimizer.step(closure)
        print(i, loss.item())


def closure(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for x, y in loader:

        def step():
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            return loss

        loss = optimizer.step(step)
    print(loss.item())


def several_backwards(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader:
        optimizer.zero_grad()
        out = model(x)
        (0.7 * criterion(out, y)).backward(retain_graph=True)
        (0.3 * F.cross_entropy(out, y, label_smoothing=0.2)).backward()
        optimizer.step()
    print(out.sum().item())


def autograd_grad(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    params = list(model.parameters())
    for _ in range(2):
        for x, y in loader:
            loss = criterion(model(x), y)
            for p, g in zip(params, torch.autograd.grad(loss, params)):
                p.grad = g
            optimizer.step()
    print(loss.item())


def autograd_grad_by_hand(model):
    params = list(model.parameters())
    for _ in range(2):
        for x, y in loader:
            loss = criterion(model(x), y)
            grads = torch.autograd.grad(loss, params)
            with torch.no_grad():
                for p, g in zip(params, grads):
                    p -= 0.1 * g
    print(loss.item())


def in_backward(model):
    """An optimizer for each parameter, which steps as soon as the gradient is there."""
    optimizers = {p: torch.optim.SGD([p], lr=0.1, momentum=0.9) for p in model.parameters()}

    def step(p):
        optimizers[p].step()
        optimizers[p].zero_grad()

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(step)
    for _ in range(2):
        for x, y in loader:
            loss = criterion(model(x), y)
            loss.backward()
    print(loss.item())


def sam(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader:
        criterion(model(x), y).backward()
        with torch.no_grad():
            norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
            moves = [0.05 * p.grad / (norm + 1e-12) for p in model.parameters()]
            for p, e in zip(model.parameters(), moves):
                p += e
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        with torch.no_grad():
            for p, e in zip(model.parameters(), moves):
                p -= e
        optimizer.step()
        optimizer.zero_grad()
    print(loss.item())


def inputs(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trained = list(model.parameters())
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward(inputs=trained)
        optimizer.step()
    print(loss.item())


def gradient(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader:
        optimizer.zero_grad()
        losses = F.cross_entropy(model(x), y, reduction="none")
        losses.backward(torch.full_like(losses, 1 / len(losses)))
        optimizer.step()
    print(losses.mean().item())


def func(model):
    from torch.func import functional_call, grad

    params = {k: v.detach() for k, v in model.named_parameters()}

    def objective(params, x, y):
        return criterion(functional_call(model, params, (x,)), y)

    for x, y in loader:
        grads = grad(objective)(params, x, y)
        params = {k: v - 0.1 * grads[k] for k, v in params.items()}
    model.load_state_dict(params, strict=False)
    print(objective(params, x, y).item())


STYLES = {
    "lbfgs": lbfgs,
    "closure": closure,
    "several-backwards": several_backwards,
    "autograd-grad": autograd_grad,
    "autograd-grad-by-hand": autograd_grad_by_hand,
    "step-in-backward": in_backward,
    "sam": sam,
    "inputs": inputs,
    "gradient": gradient,
    "func": func,
}

if __name__ == "__main__":
    main(STYLES, nn.LayerNorm if sys.argv[1] == "func" else nn.BatchNorm1d)
