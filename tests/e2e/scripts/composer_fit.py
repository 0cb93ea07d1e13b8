"""Trains with Composer's Trainer."""

import argparse

import torch
from composer import Trainer
from composer.models import ComposerClassifier
from ddp import make_data, make_model
from torch.utils.data import DataLoader


def main(epochs):
    net = make_model()
    model = ComposerClassifier(net, num_classes=4)
    trainer = Trainer(
        model=model,
        train_dataloader=DataLoader(make_data(), batch_size=20),
        optimizers=torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
        max_duration=f"{epochs}ep",
        device="cpu",
        progress_bar=False,
        log_to_console=False,
        seed=0,
    )
    trainer.fit()
    print(f"{trainer.state.loss.item():.17g}")
    torch.save(net.state_dict(), "model.pt")
    trainer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    main(parser.parse_args().epochs)
