"""python -m tests.engines.second_device_zoo FILE: every engine on the zoo's models on a second device, labels on the host.

A process of its own, as devices are registered for good. Writes {"ENGINE NAME": largest error} as JSON: against brute force
on the CPU, and of the sum against the ordinary gradient.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from gradlens.autograd.cotangents import AnchoredLosses
from gradlens.batch.rows import group_rows
from tests.e2e.styles import SCRIPTS
from tests.engines.oracle import brute_force, error
from tests.engines.pairs import ENGINES, EXACT, WANTED, trainable
from tests.engines.zoo import GROUPS, ZOO

sys.path.insert(0, str(SCRIPTS))
import second_device

# A mask that the model makes on the CPU, and what the device has no kernels for.
NOT_THERE = ("cross-attention", "lstm")


def on_host(vector: tuple[Tensor | None, ...] | list[Tensor | None]) -> list[Tensor | None]:
    """Copies gradients to the CPU."""
    return [None if gradient is None else gradient.cpu() for gradient in vector]


def worst_error(engine: str, name: str) -> float:
    """The largest relative error of one engine on one model."""
    case = ZOO[name]
    model, inputs, labels = case.build()
    model = model.to(second_device.NAME)
    params = trainable(model)
    torch.manual_seed(7)
    measuring = ENGINES[engine](model, params)
    measuring.arm()
    output = model(*(x.to(second_device.NAME) for x in inputs))
    loss = case.loss(output, labels.to(second_device.NAME)).mean()
    found = measuring.measure(
        AnchoredLosses([loss], [output]), group_rows(labels, GROUPS, output), WANTED, loss.backward
    )
    vectors = [on_host(vector) for vector in found]
    total = [
        sum((v.double() for v in column if v is not None), torch.zeros(())) for column in zip(*vectors, strict=True)
    ]
    errors = [error(vector, truth) for vector, truth in zip(vectors, brute_force(name), strict=True)]
    return max(*errors, error(total, tuple(on_host(tuple(p.grad for p in params)))))


if __name__ == "__main__":
    torch.set_num_threads(1)
    # Parameters keep their identity when they move, so that tied ones stay tied.
    torch.__future__.set_swap_module_params_on_conversion(True)
    cases = [(engine, name) for engine, name in EXACT if name not in NOT_THERE]
    errors = {f"{engine} {name}": worst_error(engine, name) for engine, name in cases}
    Path(sys.argv[1]).write_text(json.dumps(errors))
