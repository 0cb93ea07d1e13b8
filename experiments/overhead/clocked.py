"""Time: methods step in turn, round after round, so that a busy machine slows all of them alike."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

import torch
from torch import Tensor

from overhead.cases import Case, brute_force, gram_error
from overhead.methods import LensStep, Method, Refusal, Step


@dataclass
class Timing:
    """What one method did on one case.

    Attributes:
        seconds: Round number -> seconds of its step.
        error: Largest error of the groups' inner products against float64, in units of the norms; None if it has none.
        state_change: Largest difference of weights and buffers from those of a plain step, in units of each tensor's norm.
        refusal: Why it does not treat the case, or None.
        warned: What it warned of.
    """

    seconds: dict[int, float] = field(default_factory=dict)
    error: float | None = None
    state_change: float | None = None
    refusal: str | None = None
    warned: list[str] = field(default_factory=list)

    def ratio(self, base: Timing) -> float | None:
        """Returns the median over common rounds of this time over the base's; None where there is no common round."""
        common = self.seconds.keys() & base.seconds.keys()
        return median(self.seconds[r] / base.seconds[r] for r in common) if common else None

    def typical(self) -> float | None:
        """Returns the median seconds of a step."""
        return median(self.seconds.values()) if self.seconds else None


def said(error: Exception) -> str:
    """Returns the first sentences of an error, on one line."""
    text = re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
    return text if isinstance(error, Refusal) else f"{type(error).__name__}: {text[:240]}"


def now(device: str) -> float:
    """Returns the seconds on a clock, once the device is idle.

    With a single thread it is the process's own time: equal to that on the wall, but for waiting while others compute.
    """
    if device != "cpu":
        torch.cuda.synchronize()
    elif torch.get_num_threads() == 1:
        return time.process_time()
    return time.perf_counter()


def time_case(
    case: Case,
    methods: Mapping[str, Method],
    rounds: Mapping[str, int],
    device: str,
    seed: int,
    progress: Callable[[str], None],
) -> tuple[dict[str, Timing], dict[str, Step]]:
    """Steps all methods in turn; the first step of each warms up, and is the one whose numbers are compared.

    ``split`` is timed once its early checks (measurements 1, 2, 4, ... 32) are over.

    Args:
        case: The model and batch.
        methods: Methods by name; the first one is the plain step.
        rounds: How often each is timed; spread evenly over the rounds of the one that is timed most.
        device: "cpu" or "cuda".
        seed: Seed of weights and data.
        progress: Told what is going on.

    Returns:
        Timings by name, and the steps of the methods that treat the case.
    """
    progress(f"{case.title}: float64 brute force")
    truth = brute_force(case.setup(device, seed))
    timings = {name: Timing() for name in methods}
    steps: dict[str, Step] = {}
    expected: list[Tensor] = []
    for name, method in methods.items():
        progress(f"{case.title}: {name}")
        setup = case.setup(device, seed)
        timing = timings[name]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                step = method(setup)
                gram = step()
                steps[name] = step
            except Exception as error:  # a peer may fail in any way; the table says how
                timing.refusal = said(error)
                continue
            finally:
                timing.warned = sorted({re.sub(r"\s+", " ", str(w.message))[:300] for w in caught})
        timing.error = None if gram is None else gram_error(gram, truth)
        state = [t.detach().clone() for t in setup.model.state_dict().values() if t.is_floating_point()]
        expected = expected or state
        timing.state_change = max(map(_change, state, expected))
    for name, step in steps.items():
        if isinstance(step, LensStep):
            progress(f"{case.title}: early checks of {name}")
            step.settle()
    most = max(rounds.values())
    for number in range(most):
        progress(f"{case.title}: round {number + 1} of {most}")
        for name, step in steps.items():
            if number * rounds[name] // most != (number + 1) * rounds[name] // most:
                begun = now(device)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    step()
                timings[name].seconds[number] = now(device) - begun
    return timings, steps


def _change(state: Tensor, expected: Tensor) -> float:
    size = float(expected.norm())
    wrong = float((state - expected).norm())
    return wrong / size if size else wrong
