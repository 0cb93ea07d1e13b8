"""python library_losses.py LOSS: losses of libraries, which are given embeddings or logits, and labels."""

import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from loops import CLASSES, FEATURES, make_data


def multi_hot():
    """Each sample has its class, and every third one has the next class, too."""
    x, y = make_data().tensors
    hot = nn.functional.one_hot(y, CLASSES)
    hot[::3] |= hot[::3].roll(1, 1)
    return TensorDataset(x, hot.float())


def listed():
    """The ids of a sample's classes, then -1."""
    x, hot = multi_hot().tensors
    ids = torch.full(hot.shape, -1)
    for row, marks in zip(ids, hot, strict=True):
        own = marks.nonzero().flatten()
        row[: len(own)] = own
    return TensorDataset(x, ids)


def images():
    """Each pixel has a class of its own."""
    x, y = make_data().tensors
    masks = (y[:, None] + torch.arange(16)).reshape(-1, 4, 4) // 2 % CLASSES
    return TensorDataset(nn.functional.one_hot(masks, CLASSES).movedim(3, 1).float() + x[:, :4, None, None], masks)


class Net(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(FEATURES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, outputs))

    def forward(self, x):
        return self.body(x)


class Probabilities(Net):
    def forward(self, x):
        return super().forward(x).softmax(1)


class Inside(Net):
    """Its last layer is the loss, which has parameters of its own."""

    def __init__(self, outputs, head):
        super().__init__(outputs)
        self.head = head

    def forward(self, x, y):
        loss = self.head(self.body(x), y)
        return loss if isinstance(loss, torch.Tensor) else loss.loss


class Pixels(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, outputs, 1))

    def forward(self, x):
        return self.body(x)


def make(name):
    """Returns a loss, its model and the data."""
    if name == "adaptive":
        return None, Inside(8, nn.AdaptiveLogSoftmaxWithLoss(8, CLASSES, [2], div_value=2.0)), make_data()
    if name == "multilabel_soft_margin":
        return nn.MultiLabelSoftMarginLoss(), Net(CLASSES), multi_hot()
    if name == "multilabel_margin":
        return nn.MultiLabelMarginLoss(), Net(CLASSES), listed()
    if name.startswith("pml_"):
        from pytorch_metric_learning import losses

        if name == "pml_ProxyAnchorLoss":
            return None, Inside(6, losses.ProxyAnchorLoss(CLASSES, 6)), make_data()
        return getattr(losses, name.removeprefix("pml_"))(), Net(6), make_data()
    if name in ("coral", "corn"):
        from coral_pytorch import losses

        loss = losses.CoralLoss() if name == "coral" else losses.CornLoss(CLASSES)
        return loss, Net(CLASSES - 1), make_data()
    if name == "focal":
        from focal_loss.focal_loss import FocalLoss

        return FocalLoss(gamma=2.0), Probabilities(CLASSES), make_data()
    if name == "kornia_focal":
        from kornia.losses import FocalLoss

        return FocalLoss(alpha=0.25, gamma=2.0, reduction="mean"), Net(CLASSES), make_data()
    if name.startswith("smp_"):
        from segmentation_models_pytorch import losses

        given = {} if name == "smp_SoftCrossEntropyLoss" else {"mode": "multiclass"}
        smooth = {"smooth_factor": 0.1} if name == "smp_SoftCrossEntropyLoss" else {}
        return getattr(losses, name.removeprefix("smp_"))(**given, **smooth), Pixels(CLASSES), images()
    from monai import losses

    loss = getattr(losses, name.removeprefix("monai_"))(to_onehot_y=True, softmax=True)
    data = images()
    return loss, Pixels(CLASSES), TensorDataset(data.tensors[0], data.tensors[1][:, None])


def loss_of(name, criterion, model, x, y):
    if criterion is None:
        return model(x, y)
    if name == "coral":
        from coral_pytorch.dataset import levels_from_labelbatch

        return criterion(model(x), levels_from_labelbatch(y, CLASSES))
    return criterion(model(x), y)


def main():
    name = sys.argv[1]
    torch.manual_seed(0)
    criterion, model, data = make(name)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(2):
        for x, y in DataLoader(data, batch_size=20, shuffle=True):
            loss = loss_of(name, criterion, model, x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.17g}")
    torch.save(model.state_dict(), "model.pt")


if __name__ == "__main__":
    main()
