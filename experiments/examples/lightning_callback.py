"""Measures a fit of Lightning's Trainer with a callback: python experiments/examples/lightning_callback.py [RUN_FOLDER].

`gradlens track` measures a Trainer without any change. The callback is for those who prefer code.
"""

import sys

import lightning as L
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from gradlens.integrations.lightning import LensCallback


class Classifier(L.LightningModule):
    """A small network on the pixels. It needs nothing from gradlens."""

    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Returns the loss of a batch."""
        x, y = batch
        return F.cross_entropy(self.net(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns the optimizer."""
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


L.seed_everything(0, verbose=False)
pixels, digits = map(torch.tensor, load_digits(return_X_y=True))
kept = (digits < 5) | (torch.arange(len(digits)) % 12 == 0)  # 5 to 9 are made rare
data = TensorDataset(pixels[kept].float() / 16, digits[kept])

# Groups may also be "head-tail" (the default), "shots" or "per-class". Without `every` measuring takes at most 5 % of the time.
callback = LensCallback("head=0-4,tail=5-9", out=sys.argv[1] if len(sys.argv) > 1 else None, every=1)
trainer = L.Trainer(
    max_epochs=5,
    accelerator="cpu",
    callbacks=[callback],
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(Classifier(), DataLoader(data, batch_size=64, shuffle=True))
print(f"the run is in {callback.run_path}")
