"""python long_training.py STEPS: trains a small convolutional network for long, and prints how much memory the process holds."""

import ctypes
import gc
import sys

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

COUNTS = (400, 200, 60, 20)
PRINTED = 1000


def make_data():
    g = torch.Generator().manual_seed(1)
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate(COUNTS)])
    patterns = torch.randn(len(COUNTS), 1, 8, 8, generator=g)
    return TensorDataset(patterns[labels] + torch.randn(len(labels), 1, 8, 8, generator=g), labels)


def memory():
    """Resident memory in MiB, without what the C library only keeps for later."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


def main():
    torch.manual_seed(0)
    data = make_data()
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(8 * 36, len(COUNTS))
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, int(sys.argv[1]))
    step = 0
    while step < int(sys.argv[1]):
        model.train()
        for x, y in DataLoader(data, batch_size=20, shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            scheduler.step()
            step += 1
            if step % PRINTED == 0:
                print(f"step {step}: {memory():.1f} MiB", flush=True)
        model.eval()
        with torch.no_grad():
            F.cross_entropy(model(data.tensors[0]), data.tensors[1])


if __name__ == "__main__":
    main()
