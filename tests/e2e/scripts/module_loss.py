# no main guard, no functions, like many a first script
import torch
from torch import nn, optim
from torch.nn import CrossEntropyLoss
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, random_split

torch.manual_seed(3)


class Shapes(Dataset):
    def __init__(self, n):
        self.targets = [0] * (n // 2) + [1] * (n // 3) + [2] * (n - n // 2 - n // 3)
        self.images = torch.randn(n, 1, 8, 8) + torch.tensor(self.targets).view(-1, 1, 1, 1)

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        return {"image": self.images[i], "label": self.targets[i]}


full = ConcatDataset([Shapes(60), Subset(Shapes(40), range(30))])
train, val = random_split(full, [72, 18])
model = nn.Sequential(
    nn.Conv2d(1, 6, 3, padding=1),
    nn.GroupNorm(2, 6),
    nn.ReLU(inplace=True),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(6, 3),
)
criterion = CrossEntropyLoss(weight=torch.tensor([1.0, 1.5, 2.0]), label_smoothing=0.1)
optimizer = optim.AdamW(model.parameters(), lr=1e-2)
for epoch in range(2):
    # two micro-batches make one step
    for i, batch in enumerate(DataLoader(train, batch_size=12, shuffle=True)):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = criterion(model(batch["image"]), batch["label"]) / 2
        loss.backward()
        if i % 2 == 1:
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
    # validation, without no_grad: wasteful, but people do it
    val_loss = sum(criterion(model(b["image"]), b["label"]).item() for b in DataLoader(val, batch_size=9))
    print(epoch, loss.item(), val_loss)
torch.save(model.state_dict(), "model.pt")
