"""Chooses an engine for a model, and changes to the masked engine where the chosen one cannot be exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from gradlens.autograd.cotangents import AnchoredLosses
from gradlens.autograd.grads import Grads
from gradlens.batch.rows import RowsByGroup
from gradlens.choices import ENGINES
from gradlens.engines.func import FuncEngine
from gradlens.engines.masked import MaskedEngine
from gradlens.engines.protocol import Engine, EngineRefusal
from gradlens.engines.split import SplitEngine


def choose_engine(name: str, model: nn.Module, params: Sequence[nn.Parameter]) -> tuple[Engine, str]:
    """Returns the engine for a model, and one sentence that says why.

    Args:
        name: One of ENGINES. "auto" is split if every layer treats the samples one by one, otherwise masked.
        model: The model.
        params: The measured parameters.

    Raises:
        ValueError: The name is not one of ENGINES.
        EngineRefusal: The named engine cannot measure this model exactly.
    """
    if name not in ENGINES:
        raise ValueError(f"engine={name!r}; choose one of {', '.join(ENGINES)}")
    if name == "masked":
        return MaskedEngine(params), "chosen by the user; exact for every model"
    if name == "func":
        return _tried(FuncEngine(model, params)), "chosen by the user"
    if name == "split":
        return _tried(_split(model, params)), "chosen by the user"
    try:
        return _tried(_split(model, params)), "auto: every layer treats the samples of a batch one by one"
    except EngineRefusal as refusal:
        return MaskedEngine(params), f"auto: {refusal}"


def _split(model: nn.Module, params: Sequence[nn.Parameter]) -> SplitEngine:
    own = {id(param) for param in params}
    for name, param in model.named_parameters():
        if param.is_complex() and id(param) in own:
            raise EngineRefusal(f"split: parameter {name} is complex ({param.dtype}); split needs real ones")
    return SplitEngine(model, params)


def _tried(engine: Engine) -> Engine:
    engine.arm()
    engine.disarm()
    return engine


class EngineSwitch:
    """Holds the engine in use. When that engine refuses or proves wrong, the masked engine replaces it for good.

    Attributes:
        engine: The engine in use.
        reason: Why this engine is in use, in one sentence.
    """

    def __init__(
        self, name: str, model: nn.Module, params: Sequence[nn.Parameter], on_change: Callable[[str, str], None]
    ) -> None:
        """Chooses the engine. Uses the masked one if the named one refuses the model.

        Args:
            name: One of ENGINES.
            model: The model.
            params: The measured parameters.
            on_change: Called with (engine name, reason) when the masked engine takes over.

        Raises:
            ValueError: The name is not one of ENGINES.
        """
        self._params = list(params)
        self._on_change = on_change
        try:
            self.engine, self.reason = choose_engine(name, model, params)
        except EngineRefusal as refusal:
            self.engine, self.reason = MaskedEngine(params), _instead(name, str(refusal))
            on_change(self.engine.name, self.reason)

    @property
    def always_exact(self) -> bool:
        """Whether the engine in use is the masked one, which needs no comparison with itself."""
        return isinstance(self.engine, MaskedEngine)

    def arm(self, *, again: bool = False) -> None:
        """Prepares the engine for the forward pass of a measured step.

        Args:
            again: Whether it is another forward pass of a step in which one was measured.
        """
        try:
            self.engine.arm_again() if again else self.engine.arm()
        except EngineRefusal as refusal:
            self.replace(str(refusal))

    def measure(
        self,
        passed: AnchoredLosses,
        rows: RowsByGroup,
        wanted: Sequence[tuple[int, int]],
        backward: Callable[[], None],
    ) -> list[Grads]:
        """Measures with the engine in use. If it refuses, measures with the masked one; see ``Engine.measure``."""
        try:
            return self.engine.measure(passed, rows, wanted, backward)
        except EngineRefusal as refusal:
            self.replace(str(refusal))
            return self.engine.measure(passed, rows, wanted, backward)

    def check_ahead(self, roots: Sequence[Tensor], anchors: Sequence[Tensor], dims: int, *, several: bool) -> None:
        """Changes to the masked engine before the first measured step if the split engine could not measure such steps.

        The arguments are those of ``SplitEngine.check_ahead``.
        """
        if isinstance(self.engine, SplitEngine):
            try:
                self.engine.check_ahead(roots, anchors, dims, several=several)
            except EngineRefusal as refusal:
                self.replace(str(refusal))

    def replace(self, reason: str) -> None:
        """Replaces the engine in use by the masked one, and calls ``on_change``.

        Args:
            reason: Why, in a few words.
        """
        self.engine.disarm()
        self.reason = _instead(self.engine.name, reason)
        self.engine = MaskedEngine(self._params)
        self._on_change(self.engine.name, self.reason)


def _instead(name: str, reason: str) -> str:
    return f"instead of {name}: {reason.removeprefix(f'{name}: ')}"
