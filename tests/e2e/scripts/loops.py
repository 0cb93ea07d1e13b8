"""python loops.py STYLE [TIMES]: the training loops that people write, over so many times the data."""

import copy
import sys

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts, noop_context_fn
from torch.utils.data import DataLoader, TensorDataset

CLASSES, FEATURES = 4, 8
TIMES = int(sys.argv[2]) if len(sys.argv) > 2 else 1


def make_data(counts=(36, 24, 12, 8)):
    g = torch.Generator().manual_seed(1)
    labels = torch.cat([torch.full((n * TIMES,), c) for c, n in enumerate(counts)])
    centres = 2 * torch.randn(len(counts), FEATURES, generator=g)
    return TensorDataset(centres[labels] + torch.randn(len(labels), FEATURES, generator=g), labels)


class Net(nn.Module):
    def __init__(self, norm=nn.BatchNorm1d):
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(FEATURES, 16), norm(16), nn.ReLU())
        self.body = nn.Sequential(nn.Linear(16, 16), nn.ReLU())
        self.head = nn.Linear(16, CLASSES)
        self.checkpointing, self.contexts = None, noop_context_fn

    def forward(self, x):
        x = self.stem(x)
        if self.checkpointing is None:
            x = self.body(x)
        else:
            x = checkpoint(self.body, x, use_reentrant=self.checkpointing, context_fn=self.contexts)
        return self.head(x)


torch.manual_seed(0)
data = make_data()
loader = DataLoader(data, batch_size=20, shuffle=True)
criterion = nn.CrossEntropyLoss()
device = "cuda" if torch.cuda.is_available() else "cpu"


def plain(model, optimizer, epochs=2, after=lambda epoch: None):
    for epoch in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        after(epoch)
        print("epoch", epoch, "loss", loss.item())


def accumulate(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(4):
        for i, (x, y) in enumerate(loader):
            loss = criterion(model(x), y) / 2
            loss.backward()
            if (i + 1) % 2 == 0:
                optimizer.step()
                optimizer.zero_grad()
        print(epoch, loss.item())


def autocast(model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for x, y in loader:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(loss.item())


def half(model):
    """As on a GPU: half precision, scaled."""
    model.to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scaler = torch.amp.GradScaler(device, init_scale=1024.0, growth_interval=3)
    for epoch in range(2):
        for x, y in loader:
            x, y = x.to(device), y.to(device)
            optimizer.zero_grad()
            with torch.autocast(device, dtype=torch.float16):
                loss = criterion(model(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        print(epoch, loss.item(), scaler.get_scale())


def scaler(model, divide=1):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3)
    for epoch in range(2):
        for i, (x, y) in enumerate(loader):
            loss = criterion(model(x), y)
            if divide > 1:
                (scaler.scale(loss) / divide).backward()
            else:
                scaler.scale(loss).backward()
            if (i + 1) % divide == 0:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
        print(epoch, loss.item(), scaler.get_scale())


def scaler_skips(model):
    """The first gradients overflow: the scaler skips the step and halves its scale."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    for x, y in list(loader) * 3:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        scaler.scale(64 * loss).backward()
        scaler.step(optimizer)
        scaler.update()
    print(loss.item(), scaler.get_scale())


def clip(model, how):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader:
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        if how == "norm":
            print("norm", nn.utils.clip_grad_norm_(model.parameters(), 0.5).item())
        else:
            nn.utils.clip_grad_value_(model.parameters(), 0.01)
        optimizer.step()


def keep_grads(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader:
        loss = criterion(model(x), y)
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        optimizer.step()
    print(loss.item())


def two_optimizers(model):
    body = [*model.stem.parameters(), *model.body.parameters()]
    slow, fast = torch.optim.SGD(body, lr=0.01), torch.optim.Adam(model.head.parameters(), lr=0.01)
    for x, y in loader:
        slow.zero_grad()
        fast.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        slow.step()
        fast.step()
    print(loss.item())


def parameter_groups(model):
    decay = [p for p in model.parameters() if p.ndim > 1]
    no_decay = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": no_decay, "weight_decay": 0.0, "lr": 0.02}], lr=0.01
    )
    plain(model, optimizer)


def frozen(model):
    for p in model.stem.parameters():
        p.requires_grad = False
    plain(model, torch.optim.SGD(filter(lambda p: p.requires_grad, model.parameters()), lr=0.1))


def unfreeze(model):
    model.stem.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    plain(model, optimizer, epochs=3, after=lambda epoch: model.stem.requires_grad_(True))


def ema(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    teacher = copy.deepcopy(model)
    for x, y in loader:
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()
        average.update_parameters(model)
        with torch.no_grad():
            for a, b in zip(teacher.parameters(), model.parameters()):
                a.lerp_(b, 0.1)
    print(sum(p.sum() for p in average.parameters()).item(), sum(p.sum() for p in teacher.parameters()).item())


def validation(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    held_out = DataLoader(TensorDataset(*data[::4]), batch_size=10)
    for epoch in range(2):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            a = sum(criterion(model(x), y).item() for x, y in held_out)
        with torch.inference_mode():
            b = sum(criterion(model(x), y).item() for x, y in held_out)
        c = sum(criterion(model(x), y).item() for x, y in held_out)
        print(epoch, a, b, c)


def schedule(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=12 * TIMES)
    for epoch in range(2):
        for x, y in loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
            scheduler.step()
        print(epoch, scheduler.get_last_lr())


def checkpointed(model, reentrant):
    model.checkpointing = reentrant
    plain(model, torch.optim.SGD(model.parameters(), lr=0.1))


def selective(model):
    def policy(ctx, op, *args, **kwargs):
        return CheckpointPolicy.MUST_SAVE if op == torch.ops.aten.addmm.default else CheckpointPolicy.PREFER_RECOMPUTE

    model.contexts = lambda: create_selective_checkpoint_contexts(policy)
    checkpointed(model, False)


def compiled(model, backend):
    plain(torch.compile(model, backend=backend), torch.optim.SGD(model.parameters(), lr=0.1))


STYLES = {
    "eager": lambda model: plain(model, torch.optim.SGD(model.parameters(), lr=0.1)),
    "accumulate": accumulate,
    "autocast": autocast,
    "half": half,
    "scaler": scaler,
    "scaler-accumulate": lambda model: scaler(model, divide=2),
    "scaler-skips": scaler_skips,
    "clip-norm": lambda model: clip(model, "norm"),
    "clip-value": lambda model: clip(model, "value"),
    "keep-grads": keep_grads,
    "two-optimizers": two_optimizers,
    "parameter-groups": parameter_groups,
    "frozen": frozen,
    "unfreeze": unfreeze,
    "ema": ema,
    "validation": validation,
    "schedule": schedule,
    "checkpoint": lambda model: checkpointed(model, False),
    "checkpoint-reentrant": lambda model: checkpointed(model, True),
    "checkpoint-selective": selective,
    "compile-aot": lambda model: compiled(model, "aot_eager"),
    "compile-inductor": lambda model: compiled(model, "inductor"),
}


def main(styles, norm=nn.BatchNorm1d):
    model = Net(norm)
    styles[sys.argv[1]](model)
    torch.save(model.state_dict(), "model.pt")


if __name__ == "__main__":
    main(STYLES)
