"""python compiled_loss.py [observe|step|outside]: what is compiled beside the model."""

import logging
import sys

import torch
import torch.nn.functional as F
from torch import nn

# A line of its log holds the time of day.
logging.getLogger("torch._logging._internal").setLevel(logging.ERROR)
logging.getLogger("torch._dynamo").setLevel(logging.ERROR)
HOW = sys.argv[1] if len(sys.argv) > 1 else "loss"
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


@torch.compile(backend="aot_eager")
def forward(x, y):
    out = model(x)
    return out, F.cross_entropy(out, y)


@torch.compile(backend="aot_eager")
def output_of(x):
    return model(x)


@torch.compile(backend="aot_eager")
def train_step(x, y):
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss


for _ in range(6):
    x, y = torch.randn(32, 12), torch.randint(0, 4, (32,))
    if HOW == "step":
        print(train_step(x, y).item())
        continue
    if HOW == "outside":
        loss = F.cross_entropy(output_of(x), y)
    else:
        out, loss = forward(x, y)
    if HOW == "observe":
        import gradlens

        gradlens.observe(out, y)
    optimizer.zero_grad()
    (0.5 * loss).backward()
    optimizer.step()
    print(loss.item())
torch.save(model.state_dict(), "model.pt")
