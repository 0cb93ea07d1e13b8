"""Trains with fastai: its Learner, its one-cycle schedule, and its own optimizer, which is none of torch's."""

import argparse

import torch
from ddp import make_data, make_model
from fastai.basics import DataLoader, DataLoaders, Learner, accuracy
from fastai.callback import progress, schedule  # noqa: F401  they add methods to the Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.torch_core import set_seed


def main(epochs):
    data = make_data()
    set_seed(0)  # its loader shuffles with Python's generator
    loaders = DataLoaders(
        DataLoader(data, bs=20, shuffle=True, num_workers=0), DataLoader(data, bs=40, num_workers=0), device="cpu"
    )
    learner = Learner(loaders, make_model(), loss_func=CrossEntropyLossFlat(), metrics=accuracy)
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(epochs, 1e-2)
    print([float(x) for x in learner.recorder.values[-1]])
    torch.save(learner.model.state_dict(), "model.pt")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    main(parser.parse_args().epochs)
