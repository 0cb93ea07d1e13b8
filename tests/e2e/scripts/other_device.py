"""python other_device.py LABELS [TIMES]: the model on an accelerator; labels on the host until the loss wants them, or there, too.

LABELS is "host" or "device".
"""

import sys


import second_device
import torch
import torch.nn.functional as F
from loops import CLASSES, FEATURES, make_data
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

device = torch.device(second_device.NAME)


def main():
    torch.manual_seed(0)
    layers = [nn.Linear(FEATURES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, CLASSES)]
    model = nn.Sequential(*layers).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    data = make_data()
    if sys.argv[1] == "device":
        data = TensorDataset(*(tensor.to(device) for tensor in data.tensors))
    loader = DataLoader(data, batch_size=20, shuffle=True)
    for epoch in range(3):
        right = 0
        for x, y in loader:
            logits = model(x.to(device))
            loss = F.cross_entropy(logits, y.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            right += (logits.argmax(1).cpu() == y.cpu()).sum().item()
        print(epoch, loss.item(), right)
    torch.save({name: value.cpu() for name, value in model.state_dict().items()}, "model.pt")


if __name__ == "__main__":
    main()
