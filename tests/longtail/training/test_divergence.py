"""A training that diverges stops."""

import pytest
import torch
import torch.nn.functional as F

from gradlens.longtail.training.checkpoint import FILE
from gradlens.longtail.training.divergence import DivergedError
from gradlens.longtail.training.fit import fit
from tests.longtail.tiny_training import tiny_recipe, tiny_task


@pytest.mark.parametrize("kind", ["loss", "weights"])
def test_divergence_stops_and_keeps_the_last_good_checkpoint(tmp_path, kind):
    task = tiny_task()

    def loss(step):
        value = F.cross_entropy(step.logits, step.labels)
        if step.progress.epoch < 1:
            return value
        # sqrt at 0 has a finite value and an infinite gradient
        broken = (step.logits * 0).sum().abs().sqrt()
        return value + (broken if kind == "weights" else float("nan"))

    with pytest.raises(DivergedError, match="not finite") as raised:
        fit(tiny_recipe(task, loss, epochs=3), task, folder=tmp_path)
    assert str(raised.value).endswith(
        f"train in another folder; the checkpoint of the last good epoch is {tmp_path / FILE}"
    )
    stored = torch.load(tmp_path / FILE, weights_only=True)
    assert (stored["phase"], stored["epoch"], len(stored["history"])) == (0, 1, 1)
    assert all(torch.isfinite(value).all() for value in stored["model"].values())
