"""Steps whose gradients the script combines or throws away before the optimizer steps."""

import torch
import torch.nn.functional as F
from loops import criterion, loader
from torch import nn


def without_conflict(a, b):
    """PCGrad: of two gradients that conflict, only what does not conflict with the other is left."""
    dot = a @ b
    return a + b if dot >= 0 else a - dot / (b @ b) * b + b - dot / (a @ a) * a


def surgery(model):
    """PCGrad: a backward pass for each of two losses; of what conflicts, only what does not is left."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    params = list(model.parameters())
    for x, y in loader:
        losses = F.cross_entropy(model(x), y, reduction="none") / len(y)
        found = []
        for part in (losses[y < 2].sum(), losses[y >= 2].sum()):
            optimizer.zero_grad()
            part.backward(retain_graph=True)
            found.append(torch.cat([p.grad.flatten() for p in params]))
        total = without_conflict(*found)
        for p, part in zip(params, total.split([p.numel() for p in params])):
            p.grad = part.view_as(p).clone()
        optimizer.step()
    print(total.sum().item())


class TwoHeads(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model, self.auxiliary = model, nn.Linear(16, 4)

    def forward(self, x):
        features = self.model.body(self.model.stem(x))
        return self.model.head(features), self.auxiliary(features)


def surgery_shared(model):
    """As libraries for several tasks do: what the heads share is zeroed after each pass and gets what does not conflict."""
    model = TwoHeads(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    shared = [p for name, p in model.named_parameters() if "head" not in name and "auxiliary" not in name]
    for x, y in loader:
        optimizer.zero_grad()
        found = []
        for factor, out in zip((1.0, 0.4), model(x)):
            (factor * criterion(out, y)).backward(retain_graph=True)
            found.append(torch.cat([p.grad.flatten() for p in shared]))
            for p in shared:
                p.grad.zero_()
        total = without_conflict(found[0], 3 * found[1])
        for p, part in zip(shared, total.split([p.numel() for p in shared])):
            p.grad.copy_(part.view_as(p))
        optimizer.step()
    print(total.sum().item())


def surgery_grad(model):
    """PCGrad with gradients that torch.autograd.grad returns."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    params = list(model.parameters())
    for _ in range(2):
        for x, y in loader:
            losses = F.cross_entropy(model(x), y, reduction="none") / len(y)
            found = []
            for part in (losses[y < 2].sum(), losses[y >= 2].sum()):
                found.append(torch.cat([g.flatten() for g in torch.autograd.grad(part, params, retain_graph=True)]))
            total = without_conflict(*found)
            for p, part in zip(params, total.split([p.numel() for p in params])):
                p.grad = part.view_as(p).clone()
            optimizer.step()
    print(total.sum().item())


def looks(model):
    """The norms of two losses' gradients set the learning rate; what steps is the gradient of both."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader:
        losses = F.cross_entropy(model(x), y, reduction="none") / len(y)
        norms = []
        for part in (losses[y < 2].sum(), losses[y >= 2].sum()):
            optimizer.zero_grad()
            part.backward(retain_graph=True)
            norms.append(torch.stack([p.grad.norm() for p in model.parameters()]).norm().item())
        optimizer.zero_grad()
        losses.sum().backward()
        torch.nn.utils.clip_grad_value_(model.parameters(), 0.1)
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + norms[0] / (norms[1] + 1e-6))
        optimizer.step()
    print(norms)
