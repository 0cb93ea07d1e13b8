"""Trains with Avalanche: two experiences of two classes each, with a head that grows."""

import argparse

import torch
from avalanche.benchmarks.scenarios.dataset_scenario import benchmark_from_datasets
from avalanche.benchmarks.utils import AvalancheDataset, DataAttribute
from avalanche.models import IncrementalClassifier
from avalanche.training import Naive
from avalanche.training.plugins import EvaluationPlugin
from ddp import make_data, make_model
from torch import nn
from torch.utils.data import Subset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = make_model()[:2]
        self.head = IncrementalClassifier(16, initial_out_features=2).double()

    def forward(self, x):
        return self.head(self.stem(x))


def part(data, classes):
    labels = data.tensors[1]
    chosen = [i for i, label in enumerate(labels.tolist()) if label in classes]
    targets = DataAttribute([int(labels[i]) for i in chosen], "targets")
    tasks = DataAttribute([0] * len(chosen), "targets_task_labels", use_in_getitem=True)
    return AvalancheDataset([Subset(data, chosen)], data_attributes=[targets, tasks])


def main(epochs):
    torch.set_default_dtype(torch.float64)
    data = make_data()
    stream = benchmark_from_datasets(train=[part(data, (0, 1)), part(data, (2, 3))]).train_stream
    model = Net()
    torch.manual_seed(0)
    strategy = Naive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.05),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=8,
        train_epochs=epochs,
        evaluator=EvaluationPlugin(loggers=[]),
    )
    for experience in stream:
        strategy.train(experience)
        print(f"{strategy.loss.item():.17g}")
    torch.save(model.state_dict(), "model.pt")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    main(parser.parse_args().epochs)
