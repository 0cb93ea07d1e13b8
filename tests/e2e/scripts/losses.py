"""python losses.py LOSS [TIMES]: one training loop over so many times the data, and the losses that people put into it."""

import random
import sys
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from loops import CLASSES, FEATURES, make_data

COUNTS = torch.tensor([36.0, 24.0, 12.0, 8.0])


class Net(nn.Module):
    def __init__(self, out="tensor"):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(FEATURES, 16), nn.BatchNorm1d(16), nn.ReLU())
        self.head = nn.Linear(16, CLASSES * CLASSES if out == "square" else CLASSES)
        self.out = out
        if out == "chunks":  # a loss with weights of its own, which computes its gradients in the forward pass
            options = nn.LinearCrossEntropyOptions(batch_chunk_size=8)
            self.head = nn.LinearCrossEntropyLoss(16, CLASSES, bias=True, options=options)
        if out in ("two", "inside"):
            self.auxiliary = nn.Linear(16, CLASSES)

    def forward(self, x, y=None):
        h = self.body(x)
        if self.out == "chunks":
            import gradlens

            gradlens.observe(h, y)
            return self.head(h, y)
        logits = self.head(h)
        if self.out == "dict":
            return {"logits": logits, "features": h}
        if self.out == "square":
            return logits.reshape(-1, CLASSES, CLASSES)  # as many places as classes
        if self.out == "tuple":
            return logits, (h,)
        if self.out == "dataclass":
            return Output(logits, h)
        if self.out == "two":
            return logits, self.auxiliary(h)
        if self.out == "inside":
            return {"loss": F.cross_entropy(logits, y) + 0.3 * F.cross_entropy(self.auxiliary(h), y)}
        return logits


@dataclass
class Output:
    logits: torch.Tensor
    features: torch.Tensor


def mixed(x, y):
    lam, index = random.betavariate(0.8, 0.8), torch.randperm(len(x))
    return lam * x + (1 - lam) * x[index], y[index], lam


def cut(x, y):
    lam, index = random.betavariate(1.0, 1.0), torch.randperm(len(x))
    width = int(FEATURES * (1 - lam))
    x = x.clone()
    x[:, :width] = x[index, :width]
    return x, y[index], 1 - width / FEATURES


def one_hot(y):
    return F.one_hot(y, CLASSES).float()


def class_weights(model, x, y):
    return F.cross_entropy(model(x), y, weight=COUNTS.sum() / COUNTS)


def label_smoothing(model, x, y):
    return nn.CrossEntropyLoss(label_smoothing=0.1)(model(x), y)


def ignore_index(model, x, y):
    y = torch.where(x[:, 0] > 1.5, -1, y)
    return F.cross_entropy(model(x), y, ignore_index=-1)


def reduction_none(model, x, y):
    losses = F.cross_entropy(model(x), y, reduction="none")
    weights = 1 / COUNTS[y]
    return (weights * losses).sum() / weights.sum()


def reduction_sum(model, x, y):
    return F.cross_entropy(model(x), y, reduction="sum") / 20


def soft_targets(model, x, y):
    targets = 0.8 * one_hot(y) + 0.2 * COUNTS / COUNTS.sum()
    return F.cross_entropy(model(x), targets)


def mixup_two_calls(model, x, y):
    x, other, lam = mixed(x, y)
    out = model(x)
    return lam * F.cross_entropy(out, y) + (1 - lam) * F.cross_entropy(out, other)


def mixup_soft(model, x, y):
    x, other, lam = mixed(x, y)
    return F.cross_entropy(model(x), lam * one_hot(y) + (1 - lam) * one_hot(other))


def cutmix_two_calls(model, x, y):
    x, other, lam = cut(x, y)
    out = model(x)
    return F.cross_entropy(out, y) * lam + F.cross_entropy(out, other) * (1.0 - lam)


def cutmix_soft(model, x, y):
    x, other, lam = cut(x, y)
    targets = lam * one_hot(y) + (1 - lam) * one_hot(other)
    return torch.sum(-targets * F.log_softmax(model(x), dim=-1), dim=-1).mean()


def nll(model, x, y):
    return nn.NLLLoss()(F.log_softmax(model(x), dim=1), y)


def focal_from_cross_entropy(model, x, y):
    ce = F.cross_entropy(model(x), y, reduction="none")
    return ((1 - torch.exp(-ce)) ** 2 * ce).mean()


def focal_by_hand(model, x, y):
    logp = F.log_softmax(model(x), dim=1).gather(1, y.view(-1, 1)).view(-1)
    p = logp.exp()
    return (-((1 - p) ** 2) * logp).mean()


def focal_by_probabilities(model, x, y):
    out = model(x)
    p = F.softmax(out, dim=1)[torch.arange(len(y)), y]
    logp = (F.log_softmax(out, dim=1) * one_hot(y)).sum(1)
    return -((1 - p) ** 2 * logp).mean()


def ldam(model, x, y):
    margins = 0.5 * (COUNTS.min() / COUNTS) ** 0.25
    logits = model(x)
    index = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, y.view(-1, 1), True)
    shifted = torch.where(index, logits - margins[y][:, None], logits)
    return F.cross_entropy(3 * shifted, y)


def ldam_by_hand(model, x, y):
    margins = 0.5 * (COUNTS.min() / COUNTS) ** 0.25
    logits = 3 * (model(x) - one_hot(y) * margins)
    return (torch.logsumexp(logits, 1) - logits[torch.arange(len(y)), y]).mean()


def multi_margin(model, x, y):
    return nn.MultiMarginLoss()(model(x), y)


def hinge_by_hand(model, x, y):
    out = model(x)
    right = out.gather(1, y[:, None])
    return (F.relu(1 + out - right) * (1 - one_hot(y))).sum(1).mean()


def one_vs_all(model, x, y):
    return F.binary_cross_entropy_with_logits(model(x), one_hot(y))


def brier(model, x, y):
    return F.mse_loss(model(x).softmax(1), one_hot(y))


def two_heads(model, x, y):
    main, auxiliary = model(x)
    return F.cross_entropy(main, y) + 0.4 * F.cross_entropy(auxiliary, y)


def regularised(model, x, y):
    penalty = sum(p.pow(2).sum() for p in model.parameters() if p.ndim > 1)
    return F.cross_entropy(model(x), y) + 1e-2 * penalty


def dict_output(model, x, y):
    return F.cross_entropy(model(x)["logits"], y)


def tuple_output(model, x, y):
    logits, _ = model(x)
    return F.cross_entropy(logits, y)


def dataclass_output(model, x, y):
    out = model(x)
    logp = out.logits.log_softmax(-1)
    return -logp.gather(-1, y.unsqueeze(-1)).mean() + 1e-3 * out.features.pow(2).mean()


def inside_the_model(model, x, y):
    return model(x, y)["loss"]


def logit_adjusted(model, x, y):
    return F.cross_entropy(model(x) + torch.log(COUNTS / COUNTS.sum()), y)


def square_rows(model, x, y):
    places = (y[:, None] + torch.arange(CLASSES)) % CLASSES  # [B, T]
    return F.cross_entropy(model(x), places)  # [B, C, T]


def smoothing_by_hand(model, x, y):
    out = model(x)
    targets = torch.full_like(out, 0.1 / CLASSES)
    targets.scatter_(1, y.unsqueeze(1), 0.9 + 0.1 / CLASSES)
    return F.kl_div(F.log_softmax(out, 1), targets, reduction="none").sum(-1).mean()


def chunks(model, x, y):
    parts = zip(model(x).chunk(4), y.chunk(4))
    return sum(F.cross_entropy(out, labels, reduction="sum") for out, labels in parts) / len(y)


def chunks_observed(model, x, y):
    import gradlens

    loss = 0
    for out, labels in zip(model(x).chunk(4), y.chunk(4)):
        gradlens.observe(out, labels)
        loss = loss + F.cross_entropy(out, labels, reduction="sum") / len(y)
    return loss


def time_steps(model, x, y):
    out = model(x)  # [B, C, T]
    return sum(F.cross_entropy(out[..., t], (y + t) % CLASSES) for t in range(CLASSES)) / CLASSES


def linear_cross_entropy(model, x, y):
    return model(x, y)


def contrastive(model, x, y):
    z = F.normalize(model(x), dim=1)
    same = (y[:, None] == y[None, :]) & ~torch.eye(len(y), dtype=torch.bool)
    similar = z @ z.T / 0.5
    logp = similar - torch.logsumexp(similar.masked_fill(torch.eye(len(y), dtype=torch.bool), -9.0), 1, keepdim=True)
    return -logp[same].mean()


def observed(model, x, y):
    import gradlens

    z = model(x)
    gradlens.observe(z, y)
    z = F.normalize(z, dim=1)
    same = (y[:, None] == y[None, :]) & ~torch.eye(len(y), dtype=torch.bool)
    similar = z @ z.T / 0.5
    logp = similar - torch.logsumexp(similar.masked_fill(torch.eye(len(y), dtype=torch.bool), -9.0), 1, keepdim=True)
    return -logp[same].mean()


OUTPUTS = {
    "square_rows": "square",
    "time_steps": "square",
    "linear_cross_entropy": "chunks",
    "two_heads": "two",
    "inside_the_model": "inside",
    "dict_output": "dict",
    "tuple_output": "tuple",
    "dataclass_output": "dataclass",
}


def main():
    name = sys.argv[1]
    torch.manual_seed(0)
    random.seed(0)
    loader = DataLoader(make_data(), batch_size=20, shuffle=True)
    model = Net(OUTPUTS.get(name, "tensor"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(2):
        for x, y in loader:
            loss = globals()[name](model, x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.17g}")
    torch.save(model.state_dict(), "model.pt")


if __name__ == "__main__":
    main()
