"""Each engine with each case of the zoo: those that it measures, and those that it refuses."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from gradlens.engines import Engine, MaskedEngine
from gradlens.engines.func import FuncEngine
from gradlens.engines.split import SplitEngine
from tests.engines.zoo import GROUPS, ZOO

ENGINES: dict[str, Callable[[nn.Module, list[nn.Parameter]], Engine]] = {
    "masked": lambda model, params: MaskedEngine(params),
    "split": SplitEngine,
    "func": FuncEngine,
}


WANTED = [(0, group) for group in range(len(GROUPS))]


PAIRS = [(engine, case) for case in ZOO for engine in ENGINES]


EXACT = [(engine, case) for engine, case in PAIRS if engine not in ZOO[case].refuses]


REFUSED = [(engine, case) for engine, case in PAIRS if engine in ZOO[case].refuses]


def trainable(model: nn.Module) -> list[nn.Parameter]:
    return [param for param in model.parameters() if param.requires_grad]
