"""Trains a few steps, then ends as it is told."""

import os
import signal
import sys
import time

import torch
import torch.nn.functional as F

from plain_loop import Net, make_data

torch.manual_seed(0)
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x, y = make_data().tensors
for step in range(50):
    loss = F.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step == 9:
        torch.save(model.state_dict(), "model.pt")
        print("ten steps", flush=True)
        match sys.argv[1]:
            case "raise":
                raise RuntimeError("out of patience")
            case "exit":
                sys.exit(3)
            case "wrong-labels":
                F.cross_entropy(model(x), y[:-1]).backward()
            case "interrupt":
                os.kill(os.getpid(), signal.SIGINT)
            case "kill":
                time.sleep(2.5)
                os.kill(os.getpid(), signal.SIGKILL)
