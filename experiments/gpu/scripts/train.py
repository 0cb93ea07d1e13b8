"""python train.py STYLE DEVICE [STEPS]: an ordinary training on a GPU. It has no code for gradient tracking."""

import sys
import warnings

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

STYLE, DEVICE = sys.argv[1], sys.argv[2]
STEPS = int(sys.argv[3]) if len(sys.argv) > 3 else 40
KIND = DEVICE.partition(":")[0]
torch.manual_seed(0)
torch.use_deterministic_algorithms(True, warn_only=True)
torch.backends.cudnn.deterministic = True
warnings.simplefilter("ignore")

labels = torch.cat([torch.full((n,), c) for c, n in enumerate((400, 200, 100, 50, 30, 20))])
images = torch.randn(6, 3, 16, 16)[labels] + torch.randn(len(labels), 3, 16, 16)
data = TensorDataset(images, labels)
loader = DataLoader(
    data, batch_size=32, shuffle=True, pin_memory=KIND == "cuda", num_workers=2 if STYLE == "workers" else 0
)
model = nn.Sequential(
    nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 64, 3, stride=2, padding=1),
    nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(64, 6),
).to(DEVICE)  # fmt: skip
optimizer = torch.optim.AdamW(
    model.parameters(), lr=1e-3, fused=STYLE == "fused" or None, capturable=STYLE == "capturable"
)
scaler = torch.amp.GradScaler(KIND, init_scale=1024.0, enabled=STYLE == "float16")
called = model
if STYLE.startswith("compile"):
    mode = {"compile": "default", "compile-cudagraphs": "reduce-overhead"}[STYLE]
    called = torch.compile(model, mode=mode)
if STYLE == "channels-last":
    model.to(memory_format=torch.channels_last)
if STYLE == "accelerate":
    from accelerate import Accelerator

    accelerator = Accelerator(mixed_precision="bf16")
    called, optimizer, loader = accelerator.prepare(model, optimizer, loader)
dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(STYLE)
if STYLE == "graphed":
    called = torch.cuda.make_graphed_callables(model, (torch.randn(32, 3, 16, 16, device=DEVICE),))

done = 0
while done < STEPS:
    for x, y in loader:
        if done == STEPS or (STYLE in ("graphed", "compile-cudagraphs") and len(y) < 32):
            continue
        x, y = x.to(DEVICE, non_blocking=True), y.to(DEVICE, non_blocking=True)
        optimizer.zero_grad()
        if dtype is None:
            loss = F.cross_entropy(called(x), y)
        else:
            with torch.autocast(KIND, dtype=dtype):
                loss = F.cross_entropy(called(x), y)
        if STYLE == "accelerate":
            accelerator.backward(loss)
        elif STYLE == "accumulate":
            (loss / 2).backward()
        else:
            scaler.scale(loss).backward()
        if STYLE == "clip":
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        if STYLE != "accumulate" or done % 2:
            scaler.step(optimizer) if STYLE == "float16" else optimizer.step()
            scaler.update()
        done += 1
print("loss", loss.item())
torch.save({"model": model.state_dict(), "random": torch.get_rng_state()}, "model.pt")
