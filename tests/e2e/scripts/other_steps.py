"""python other_steps.py STYLE [TIMES]: steps that are not one backward pass followed by optimizer.step()."""

import copy
import sys
import warnings

import torch
import torch.nn.functional as F
from loops import TIMES, criterion, loader, main, make_data
from surgery import looks, surgery, surgery_grad, surgery_shared
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


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


def not_finite(model):
    """The losses of some batches are NaN; the script puts zeros in the place of their gradients."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        for x, y in loader:
            losses = F.cross_entropy(model(x), y, reduction="none")
            loss = (losses * (torch.nan if y[0] == 1 else 1.0)).sum() / len(y)
            optimizer.zero_grad()
            loss.backward()
            for p in model.parameters():
                p.grad.nan_to_num_(0.0, 0.0, 0.0)
            optimizer.step()
            print(loss.item())


def module_hooks(model):
    """Backward hooks with a state: one uses up what a forward hook has left, and the learning rate depends on its sum."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    stack, seen = [], [0.0]

    def uses_up(module, inputs, outputs):
        seen[0] += float(stack.pop().norm() * outputs[0].norm())

    model.head.register_forward_hook(lambda module, inputs, output: stack.append(inputs[0].detach()))
    model.head.register_full_backward_hook(uses_up)
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + seen[0])
        optimizer.step()
    print(loss.item(), seen)


def stateful_function(model):
    """A backward function draws from a generator of its own."""
    own = torch.Generator().manual_seed(5)

    class Rounded(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return g + 0.01 * torch.randn(g.shape, generator=own)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(Rounded.apply(model(x)), y)
        loss.backward()
        optimizer.step()
    print(loss.item())


def opacus(model):
    """Differential privacy: hooks gather the gradient of each sample, and the optimizer clips it and adds noise."""
    warnings.simplefilter("ignore")
    from opacus import PrivacyEngine

    private, optimizer, batches = PrivacyEngine().make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        data_loader=loader,
        noise_multiplier=0.5,
        max_grad_norm=1.0,
        poisson_sampling=False,
    )
    for x, y in batches:
        optimizer.zero_grad()
        loss = criterion(private(x), y)
        loss.backward()
        optimizer.step()
    print(loss.item())


def growing_head(model):
    """Two classes, then four: the head is replaced by a wider one that keeps what it has learned."""
    model.head = nn.Linear(16, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = make_data().tensors
    for classes in (2, 4):
        if classes > 2:
            old, model.head = model.head, nn.Linear(16, classes)
            with torch.no_grad():
                model.head.weight[:2], model.head.bias[:2] = old.weight, old.bias
            optimizer.param_groups[0]["params"] = list(model.parameters())
        task = TensorDataset(x[y < classes], y[y < classes])
        for inputs, labels in DataLoader(task, batch_size=20, shuffle=True):
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
        print(classes, loss.item())


def scripted(model):
    """In each step a part of the model is scripted, copied and saved."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        torch.jit.script(model.stem).save("stem.pt")
        torch.save(copy.deepcopy(model), "whole.pt")
        optimizer.step()
    print(loss.item(), torch.jit.load("stem.pt")(x).sum().item())


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
    "step-in-backward-split": in_backward,
    "sam": sam,
    "surgery": surgery,
    "not-finite": not_finite,
    "surgery-shared": surgery_shared,
    "surgery-grad": surgery_grad,
    "looks": looks,
    "module-hooks": module_hooks,
    "stateful-function": stateful_function,
    "opacus": opacus,
    "growing-head": growing_head,
    "jit-script": scripted,
    "inputs": inputs,
    "gradient": gradient,
    "func": func,
}

if __name__ == "__main__":
    main(STYLES, nn.LayerNorm if sys.argv[1] in ("func", "step-in-backward-split", "opacus") else nn.BatchNorm1d)
