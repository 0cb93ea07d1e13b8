"""A focal loss written by hand: no cross_entropy anywhere."""

import sys

import torch
from torch.utils.data import DataLoader

import gradlens
from plain_loop import Net, make_data


def focal_loss(logits, target, gamma=2.0):
    log_p = logits.log_softmax(1).gather(1, target[:, None]).squeeze(1)
    return -((1 - log_p.exp()) ** gamma * log_p).mean()


torch.manual_seed(0)
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    for x, y in DataLoader(make_data(), batch_size=20, shuffle=True):
        out = model(x)
        if "--observe" in sys.argv:
            gradlens.observe(out, y)
        loss = focal_loss(out, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(epoch, loss.item())
torch.save(model.state_dict(), "model.pt")
