"""Tracks a loss written by hand, with one extra line: gradlens track --every 1 experiments/examples/focal_by_hand.py.

gradlens finds logits and labels at calls of cross_entropy or nll_loss. This focal loss (Lin et al. 2017) calls neither, so
`gradlens.observe` says which rows are the samples. Under plain `python` that line does nothing.
"""

import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

import gradlens


def focal_loss(logits: torch.Tensor, labels: torch.Tensor, gamma: float = 2.0) -> torch.Tensor:
    """Returns the mean of (1 - p)^gamma * -log p over the batch, where p is the probability of the right class."""
    p = logits.softmax(1)[torch.arange(len(labels)), labels]
    return ((1 - p) ** gamma * -p.log()).mean()


torch.manual_seed(0)
pixels, digits = map(torch.tensor, load_digits(return_X_y=True))
kept = (digits < 5) | (torch.arange(len(digits)) % 12 == 0)  # 5 to 9 are made rare
loader = DataLoader(TensorDataset(pixels[kept].float() / 16, digits[kept]), batch_size=64, shuffle=True)

model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

for epoch in range(5):
    for x, y in loader:
        logits = model(x)
        gradlens.observe(logits, y)  # the extra line: each row of `logits` is a sample with this label
        loss = focal_loss(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: loss {loss.item():.4f}")
