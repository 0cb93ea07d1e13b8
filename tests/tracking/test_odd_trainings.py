"""Trainings that attacked what tracking takes for granted: each trains as without it, and is measured right or says why not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import gradlens
from gradlens.runlog import Run
from tests.tracking.in_process import said

GROUPS = "head=0-1,tail=2-3"
HEAD = (0, 1)


def data(counts=(36, 24, 12, 8)):
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate(counts)])
    return TensorDataset(torch.randn(len(labels), 5, generator=torch.Generator().manual_seed(0)), labels)


def loader():
    return DataLoader(data(), 20, shuffle=True)


def network(outputs=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, outputs))


def norms_of(output, y, params):
    """Norms of head's and tail's gradient of a mean cross-entropy, one pass each."""
    losses = F.cross_entropy(output, y, reduction="none") / len(y)
    head = torch.isin(y, torch.tensor(HEAD))
    return [torch.autograd.grad((losses * part).sum(), params, retain_graph=True) for part in (head, ~head)]


def norm(gradients):
    return float(sum(g.double().square().sum() for g in gradients) ** 0.5)


def measured(tracker, folder):
    tracker.lens.close()
    run = Run(folder / "run")
    assert not [event for event in run.events if event["kind"] == "internal-error"]
    return run


def test_gradients_that_one_of_two_optimizers_throws_away_are_forgotten(start, tmp_path):
    tracker = start(every=1, groups=GROUPS)
    body, head = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh()), nn.Linear(8, 4)
    bodies, heads = list(body.parameters()), list(head.parameters())
    first, second = torch.optim.SGD(bodies, lr=0.1), torch.optim.SGD(heads, lr=0.1)
    truth = []
    for _ in range(2):
        for x, y in loader():
            second.zero_grad()
            output = head(body(x))
            early = norms_of(output, y, heads)
            F.cross_entropy(output, y).backward()
            second.step()
            first.zero_grad()  # what the pass before gave to the body is gone, what it gave to the head is not
            output = head(body(x.flip(0)))
            late = norms_of(output, y.flip(0), [*bodies, *heads])
            F.cross_entropy(output, y.flip(0)).backward()
            ends = len(bodies)
            truth.append(
                [
                    norm([*b[:ends], *(p + q for p, q in zip(a, b[ends:], strict=True))])
                    for a, b in zip(early, late, strict=True)
                ]
            )
            first.step()

    run = measured(tracker, tmp_path)
    assert len(run) >= 6
    found = np.stack([run.norm("head"), run.norm("tail")], axis=1)
    # A step ends where the optimizer of more parameters steps, as is known from the second one on.
    np.testing.assert_allclose(found[1:], np.array(truth)[run.steps[1:]], rtol=1e-4)
    assert run.residual[1:].max() < 1e-5


def test_a_loss_that_is_differentiated_in_parts_is_no_rest(start, tmp_path):
    tracker = start(every=1, groups=GROUPS)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    truth = []
    for x, y in loader():
        output = model(x)
        losses = F.cross_entropy(output, y, reduction="none")
        truth.append([norm(g) for g in norms_of(output, y, list(model.parameters()))])
        optimizer.zero_grad()
        (losses[:10].sum() / len(y)).backward(retain_graph=True)
        (losses[10:].sum() / len(y)).backward()
        optimizer.step()

    run = measured(tracker, tmp_path)
    found = np.stack([run.norm("head"), run.norm("tail")], axis=1)
    np.testing.assert_allclose(found, np.array(truth)[run.steps], rtol=1e-4)
    assert np.nan_to_num(run.norm("rest")).max() < 1e-6
    assert run.counts.sum(1).max() == 20


def test_the_head_that_the_groups_fit_is_measured(start, tmp_path):
    tracker = start(every=1, groups=GROUPS)
    body, coarse, fine = nn.Linear(5, 8), nn.Linear(8, 2), nn.Linear(8, 4)
    params = [*body.parameters(), *coarse.parameters(), *fine.parameters()]
    optimizer = torch.optim.SGD(params, lr=0.1)
    for x, y in loader():
        hidden = body(x).tanh()
        loss = F.cross_entropy(coarse(hidden), y // 2) + F.cross_entropy(fine(hidden), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert "anchor [20, 4] at cross_entropy" in "".join(said())
    assert len(measured(tracker, tmp_path)) > 0


def test_a_loss_over_other_classes_is_said_to_be_rest(start, tmp_path):
    tracker = start(every=1, groups="a=0,b=1")
    for outputs in (2, 4):
        model = network(outputs)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for x, y in loader():
            optimizer.zero_grad()
            F.cross_entropy(model(x), y % outputs).backward()
            optimizer.step()

    assert any("the groups of this run are over 2" in line for line in said())
    tracker.lens.close()


@pytest.mark.parametrize("flat", [False, True])
def test_one_logit_tells_two_classes_apart(start, tmp_path, flat):
    tracker = start(every=1, groups="a=0,b=1")
    model = network(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader():
        output = model(x).squeeze(1) if flat else model(x)
        y = y % 2
        gradlens.observe(output, y)
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(output.reshape(-1), y.float()).backward()
        optimizer.step()

    run = measured(tracker, tmp_path)
    assert run.residual.max() < 1e-5
    assert (run.norm("a") > 0).all()


class Offload(torch.autograd.graph.saved_tensors_hooks):
    """Gives back what it keeps only once, as offloading to the host does."""

    def __init__(self):
        self.kept = {}
        super().__init__(self.pack, self.unpack)

    def pack(self, tensor):
        self.kept[len(self.kept)] = tensor
        return len(self.kept) - 1

    def unpack(self, key):
        tensor, self.kept[key] = self.kept[key], None
        assert tensor is not None
        return tensor


def train_with(hooks):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader():
        with hooks():
            output = model(x)
        optimizer.zero_grad()
        F.cross_entropy(output, y).backward()
        optimizer.step()
    return list(model.parameters())


def test_saved_tensors_that_are_there_once_are_left_alone(start):
    torch.manual_seed(1)
    expected = train_with(Offload)
    tracker = start(every=1, groups=GROUPS)
    torch.manual_seed(1)

    assert all(torch.equal(a, b) for a, b in zip(train_with(Offload), expected, strict=True))
    assert tracker.lens is None
    assert any("saved_tensors_hooks" in line for line in said())


def test_saved_tensors_of_torch_are_measured(start, tmp_path):
    tracker = start(every=1, groups=GROUPS)
    train_with(torch.autograd.graph.save_on_cpu)
    assert len(measured(tracker, tmp_path)) > 0


@pytest.mark.parametrize("loss", ["function", "module"])
def test_losses_can_be_scripted(start, loss):
    def by_function(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=0.1)

    start(every=1, groups=GROUPS)
    scripted = torch.jit.script(by_function if loss == "function" else nn.CrossEntropyLoss(label_smoothing=0.1))
    x, y = data().tensors
    logits = network()(x)
    assert torch.equal(scripted(logits, y), F.cross_entropy(logits, y, label_smoothing=0.1))


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.projection, self.head = nn.Linear(5, 8), nn.Linear(8, 6), nn.Linear(8, 4)

    def forward(self, x):
        hidden = self.body(x).relu()
        return F.normalize(self.projection(hidden), dim=1), self.head(hidden)


@pytest.mark.parametrize("supervised", [False, True])
def test_positions_in_a_batch_are_no_classes(start, tmp_path, supervised):
    tracker = start(every=1, groups=GROUPS)
    model = TwoHeads()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader():
        (first, logits), (second, _) = model(x), model(x + 0.1)
        loss = F.cross_entropy(first @ second.T / 0.1, torch.arange(len(x)))
        if supervised:
            loss = loss + F.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert any("is contrastive and tells no classes" in line for line in said())
    if not supervised:
        assert tracker.lens is None
        return
    run = measured(tracker, tmp_path)
    assert (run.norm("rest") > 0.01).all()
    assert run.counts.sum() == 20 * len(run)


@pytest.mark.parametrize("compiled", [torch.jit.script, lambda model: torch.jit.trace(model, torch.randn(20, 5))])
def test_scripted_models_are_measured(start, tmp_path, compiled):
    tracker = start(every=1, groups=GROUPS)
    model = compiled(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    truth = []
    for x, y in loader():
        output = model(x)
        truth.append([norm(g) for g in norms_of(output, y, list(model.parameters()))])
        optimizer.zero_grad()
        F.cross_entropy(output, y).backward()
        optimizer.step()

    run = measured(tracker, tmp_path)
    assert len(run) >= 2
    found = np.stack([run.norm("head"), run.norm("tail")], axis=1)
    np.testing.assert_allclose(found, np.array(truth)[run.steps], rtol=1e-4)
