"""Trainings whose hooks, functions or libraries allow the script's own backward passes only; prints the weights' hash."""

import hashlib
import sys
import warnings
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts
from torch.utils.data import DataLoader, TensorDataset

warnings.simplefilter("ignore")
torch.manual_seed(0)
body = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16))
head = nn.Linear(16, 4)
model = nn.Sequential(body, head)
batches = [(torch.randn(16, 8), torch.randint(0, 4, (16,))) for _ in range(6)]
optimizer = torch.optim.SGD(model.parameters(), 0.1)
stack: list[torch.Tensor] = []
seen = [0.0]


def loss_of(x, y):
    return F.cross_entropy(model(x), y)


def train(loss_of):
    for x, y in batches:
        optimizer.zero_grad()
        loss_of(x, y).backward()
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + seen[0])
        optimizer.step()


def pop():
    """A backward hook that uses up what a forward hook has left."""
    head.register_forward_hook(lambda module, inputs, output: stack.append(inputs[0].detach()))

    def uses_up(module, inputs, outputs):
        seen.append(float(stack.pop().norm() * outputs[0].norm()))

    head.register_full_backward_hook(uses_up)
    train(loss_of)


def lr():
    """A backward hook on whose sum the learning rate depends."""

    def adds_up(module, inputs, outputs):
        seen[0] += float(outputs[0].norm())

    head.register_full_backward_hook(adds_up)
    train(loss_of)


def retained():
    """The gradient of an activation is kept, and steers the learning rate."""

    def loss_of(x, y):
        hidden = body(x)
        hidden.retain_grad()
        stack.append(hidden)
        return F.cross_entropy(head(hidden), y)

    def note(optimizer, args, kwargs):
        seen[0] += float(stack[-1].grad.norm())

    optimizer.register_step_pre_hook(note)
    train(loss_of)


def generator():
    """A backward function draws from a generator of its own."""
    own = torch.Generator().manual_seed(5)

    class Rounded(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return g + 0.01 * torch.randn(g.shape, generator=own)

    train(lambda x, y: F.cross_entropy(head(Rounded.apply(body(x))), y))


def selective():
    """Selective activation checkpointing."""

    def policy(ctx, op, *args, **kwargs):
        return CheckpointPolicy.MUST_SAVE if op == torch.ops.aten.addmm.default else CheckpointPolicy.PREFER_RECOMPUTE

    contexts = partial(create_selective_checkpoint_contexts, policy)

    def loss_of(x, y):
        return F.cross_entropy(head(checkpoint(body, x, use_reentrant=False, context_fn=contexts)), y)

    train(loss_of)


def chunked():
    """A loss in chunks that computes its gradients in the forward pass, beside another one."""
    fused = nn.LinearCrossEntropyLoss(16, 4, bias=True, options=nn.LinearCrossEntropyOptions(batch_chunk_size=8))
    optimizer.add_param_group({"params": list(fused.parameters())})

    def loss_of(x, y):
        hidden = body(x)
        return fused(hidden, y) + 0.3 * F.cross_entropy(head(hidden), y)

    train(loss_of)


def chunked_observed():
    """The same loss alone, whose rows are named."""
    import gradlens

    fused = nn.LinearCrossEntropyLoss(16, 4, bias=True, options=nn.LinearCrossEntropyOptions(batch_chunk_size=8))
    optimizer.add_param_group({"params": list(fused.parameters())})

    def loss_of(x, y):
        hidden = body(x)
        gradlens.observe(hidden, y)
        return fused(hidden, y)

    train(loss_of)


def opacus():
    """Training with differential privacy."""
    global model, optimizer, batches
    from opacus import PrivacyEngine

    data = TensorDataset(torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches]))
    loader = DataLoader(data, batch_size=16)
    model, optimizer, batches = PrivacyEngine().make_private(
        module=model,
        optimizer=optimizer,
        data_loader=loader,
        noise_multiplier=0.5,
        max_grad_norm=1.0,
        poisson_sampling=False,
    )
    train(loss_of)


def backpack():
    """Per-sample gradients by BackPACK, which the learning rate depends on."""
    from backpack import backpack, extend
    from backpack.extensions import BatchGrad

    flat = extend(nn.Sequential(*body, head))
    criterion = extend(nn.CrossEntropyLoss())
    for x, y in batches:
        optimizer.zero_grad()
        with backpack(BatchGrad()):
            criterion(flat(x), y).backward()
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + float(head.weight.grad_batch.norm()))
        optimizer.step()


globals()[sys.argv[1]]()
weights = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
print("trained", hashlib.sha256(weights).hexdigest()[:16])
