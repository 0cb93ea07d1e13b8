"""python script.py CASE STEPS [thread]: an ordinary training. It has no code for measuring, but takes turns with another.

With "thread" the process has a second thread, which does nothing.
"""

import sys
import threading

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from budget.cases import CASES
from budget.turns import Turns

case, steps = CASES[sys.argv[1]], int(sys.argv[2])
torch.set_num_threads(1)
torch.manual_seed(0)
data = TensorDataset(*case.data(50))
batches = [(x, y) for x, y in DataLoader(data, case.batch, shuffle=True)]
model = case.build().train()
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
if sys.argv[3:] == ["thread"]:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
turns = Turns(case.turn, steps)
for number in range(steps):
    turns.step()
    x, y = batches[number % len(batches)]
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
turns.step()
