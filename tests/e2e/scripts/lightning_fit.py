"""Fits with Lightning's Trainer: validation, accumulation over two batches, gradient clipping."""

import argparse
import logging
import sys
import warnings

import lightning as L
import torch
import torch.nn.functional as F
from ddp import make_data, make_model
from torch.utils.data import DataLoader


class Classifier(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = make_model()

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        self.log("val_loss", F.cross_entropy(logits, y))
        self.log("val_acc", (logits.argmax(1) == y).double().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


def main(callbacks=(), devices=1, epochs=2):
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    L.seed_everything(0, verbose=False)
    model = Classifier()
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        accumulate_grad_batches=2,
        gradient_clip_val=5.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
    )
    loaders = DataLoader(make_data(), batch_size=10, shuffle=True), DataLoader(make_data(), batch_size=40)
    trainer.fit(model, *loaders)
    if trainer.is_global_zero:
        print({name: value.item() for name, value in sorted(trainer.callback_metrics.items())})
        torch.save(model.net.state_dict(), "model.pt")
    return trainer


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=2)
    main(**vars(parser.parse_args()))
    sys.exit(0)
