"""The methods of the overhead benchmark without other packages: a plain step, steps by hand, and steps with the lens."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from gradlens import Lens
from gradlens.measure.schedule.checks import CHECK_EVERY
from gradlens.metrics.measurement import Measurement
from overhead.cases import GROUPS, Setup, gram_of

# The largest power of two below CHECK_EVERY. Up to this measurement split is checked more often.
LAST_EARLY_CHECK = 2 ** ((CHECK_EVERY - 1).bit_length() - 1)
# Takes one training step. Returns the [K, K] inner products of the groups' gradients, or None if it measures nothing.
Step: TypeAlias = Callable[[], Tensor | None]
Method: TypeAlias = Callable[[Setup], Step]


class Refusal(Exception):
    """A method does not work in a case. The message says why."""


def plain(setup: Setup) -> Step:
    """Returns a training step without measuring."""

    def step() -> None:
        setup.optimizer.zero_grad()
        F.cross_entropy(setup.model(setup.inputs), setup.labels).backward()
        setup.optimizer.step()

    return step


def two_backwards(setup: Setup) -> Step:
    """Returns a step of a forward pass, a backward pass of the tail's rows and the ordinary backward pass.

    In general exact numbers cost at least this.
    """

    def step() -> None:
        setup.optimizer.zero_grad()
        logits = setup.model(setup.inputs)
        loss = F.cross_entropy(logits, setup.labels)
        cotangent = torch.autograd.grad(loss, logits, retain_graph=True)[0] * setup.masks[1].unsqueeze(1)
        torch.autograd.grad(logits, setup.params, cotangent, retain_graph=True)
        loss.backward()
        setup.optimizer.step()

    return step


def three_passes(setup: Setup) -> Step:
    """Returns a step that a user might write: forward and backward pass of each group's masked loss, then the training step."""
    train = plain(setup)

    def step() -> Tensor:
        vectors: list[list[Tensor | None]] = []
        for mask in setup.masks:
            setup.optimizer.zero_grad()
            rows = F.cross_entropy(setup.model(setup.inputs), setup.labels, reduction="none")
            (rows * mask).mean().backward()
            vectors.append([param.grad for param in setup.params])
        train()
        return gram_of(vectors)

    return step


class LensStep:
    """A training step with a lens that measures every step.

    Attributes:
        lens: The lens.
    """

    def __init__(self, setup: Setup, engine: str) -> None:
        self._setup = setup
        self.lens = Lens(setup.model, GROUPS, optimizer=setup.optimizer, every=1, engine=engine, strict=True)
        self._same(engine)

    def __call__(self) -> Tensor:
        """Takes a training step and measures it."""
        setup, wanted = self._setup, self.lens.engine_name
        setup.optimizer.zero_grad()
        loss = F.cross_entropy(setup.model(setup.inputs), setup.labels)
        self.lens.backward(loss, setup.labels)
        setup.optimizer.step()
        self._same(wanted)
        return torch.from_numpy(self.measurement.gram[: len(GROUPS), : len(GROUPS)])

    def settle(self) -> None:
        """Takes the first steps, after which ``split`` is only checked every 50th time, as in most of a run."""
        for _ in range(LAST_EARLY_CHECK if self.lens.engine_name == "split" else 0):
            self()

    @property
    def measurement(self) -> Measurement:
        """The measurement of the last step; on a GPU that of the step before, since its numbers arrive later."""
        measurement = self.lens.last
        assert measurement is not None
        return measurement

    def _same(self, engine: str) -> None:
        if self.lens.engine_name != engine:
            reason = self.lens.engine_reason
            self.lens.close()
            raise Refusal(reason.rpartition(f"{engine}: ")[2])


def lens(engine: str) -> Method:
    """Returns a method that measures every step with an engine."""

    def make(setup: Setup) -> Step:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return LensStep(setup, engine)

    return make


OWN: dict[str, Method] = {
    "plain step": plain,
    "forward + 2 backward": two_backwards,
    "lens, masked": lens("masked"),
    "lens, split": lens("split"),
}
HEAVY: dict[str, Method] = {"lens, func": lens("func"), "three passes by hand": three_passes}
