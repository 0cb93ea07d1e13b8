"""python data.py SOURCE [TIMES]: where batches come from, of so many times the data."""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    WeightedRandomSampler,
    get_worker_info,
    random_split,
)

from loops import CLASSES, FEATURES, TIMES, make_data


class Records(Dataset):
    """Labels are computed sample by sample."""

    def __init__(self):
        self.rows = [(x, int(y)) for x, y in make_data()]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


class Tensors(Dataset):
    """Labels as tensors, like everything else."""

    def __init__(self):
        self.images, self.labels = make_data((10, 6, 3, 1)).tensors

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.images[i], self.labels[i]


class Labelled(Records):
    def __init__(self):
        super().__init__()
        self.targets = [y for _, y in self.rows]


class Named(Labelled):
    def __getitem__(self, i):
        x, y = self.rows[i]
        return {"pixel_values": x, "labels": y, "id": f"sample{i}"}


class Stream(IterableDataset):
    def __iter__(self):
        rows = Records().rows
        worker = get_worker_info()
        yield from rows if worker is None else rows[worker.id :: worker.num_workers]


class Bytes(Labelled):
    def __getitem__(self, i):
        x, y = self.rows[i]
        return x, torch.tensor(y, dtype=torch.uint8)


def image_folder():
    from PIL import Image
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    for i, (x, y) in enumerate(make_data()):
        folder = Path("images") / f"class{y}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = ((x.clamp(-5, 5) + 5) * 25).byte().view(2, 4)
        Image.fromarray(pixels.numpy(), "L").save(folder / f"{i}.png")
    to_tensor = transforms.Compose([transforms.Grayscale(), transforms.ToTensor(), transforms.Lambda(flat)])
    return ImageFolder("images", to_tensor)


def flat(image):
    return image.flatten() * 10 - 5


def make_loader(source):
    if source in ("fork", "spawn", "forkserver"):
        return DataLoader(Records(), batch_size=20, num_workers=2, multiprocessing_context=source, shuffle=True)
    if source == "iterable":
        return DataLoader(Stream(), batch_size=20)
    if source == "weighted-sampler":
        data = Labelled()
        weights = 1 / torch.bincount(torch.tensor(data.targets))[data.targets]
        return DataLoader(data, batch_size=20, sampler=WeightedRandomSampler(weights, len(data)))
    if source == "endless":
        sampler = RandomSampler(Records(), replacement=True, num_samples=int(1e10))
        return DataLoader(Records(), batch_size=20, sampler=sampler)
    dataset = {
        "tensors": make_data,
        "unused-outputs": make_data,
        "targets": Labelled,
        "no-targets": Records,
        "dicts": Named,
        "bytes": Bytes,
        "image-folder": image_folder,
        "subset": lambda: Subset(Labelled(), range(4, 80 * TIMES)),
        "concat": lambda: ConcatDataset([make_data(), Tensors()]),
        "random-split": lambda: random_split(
            make_data(), [80 * TIMES - 4, 4], generator=torch.Generator().manual_seed(3)
        )[0],
    }[source]()
    return DataLoader(dataset, batch_size=20, shuffle=True)


def main():
    source = sys.argv[1]
    torch.manual_seed(0)
    outputs = 1000 if source == "unused-outputs" else CLASSES
    model = nn.Sequential(nn.Linear(FEATURES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, outputs))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

    def train(batch):
        x, y = (batch["pixel_values"], batch["labels"]) if isinstance(batch, dict) else batch
        loss = F.cross_entropy(model(x), y.long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    if source == "inline":
        for epoch in range(3):
            for batch in DataLoader(make_data(), batch_size=20, shuffle=True):
                loss = train(batch)
            print(epoch, loss)
    elif source == "full-batch":
        x, y = make_data().tensors
        mask = torch.rand(len(x), generator=torch.Generator().manual_seed(0)) < 0.95
        for step in range(6):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x)[mask], y[mask])
            loss.backward()
            optimizer.step()
            print(step, loss.item())
    elif source == "endless":
        batches = iter(make_loader(source))
        for _ in range(104):
            loss = train(next(batches))
        print(loss)
    elif source == "slices":
        x, y = make_data().tensors
        for epoch in range(3):
            for i in range(0, len(x), 20):
                loss = train((x[i : i + 20], y[i : i + 20]))
            print(epoch, loss)
    else:
        loader = make_loader(source)
        for epoch in range(3):
            for batch in loader:
                loss = train(batch)
            print(epoch, loss)
    torch.save(model.state_dict(), "model.pt")


if __name__ == "__main__":
    main()
