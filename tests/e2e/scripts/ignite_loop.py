"""Trains with PyTorch Ignite: its supervised trainer, with accumulation, and an evaluator after each epoch."""

import argparse

import torch
from ddp import make_data, make_model
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.metrics import Accuracy, Loss
from torch import nn
from torch.utils.data import DataLoader


def main(epochs):
    model = make_model()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    trainer = create_supervised_trainer(model, optimizer, criterion, gradient_accumulation_steps=2)
    evaluator = create_supervised_evaluator(model, metrics={"accuracy": Accuracy(), "loss": Loss(criterion)})
    torch.manual_seed(0)
    train = DataLoader(make_data(), batch_size=10, shuffle=True)

    @trainer.on(Events.EPOCH_COMPLETED)
    def evaluate(engine):
        evaluator.run(DataLoader(make_data(), batch_size=40))
        print(engine.state.epoch, evaluator.state.metrics)

    trainer.run(train, max_epochs=epochs)
    torch.save(model.state_dict(), "model.pt")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    main(parser.parse_args().epochs)
