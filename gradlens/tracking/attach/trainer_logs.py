"""TrainerLogs: hears the numbers that a framework's trainer logs (validation loss, learning rate), and logs them in the run, too.

Trainers log now and then, not in every step; nothing is added to a step.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gradlens.guards.patches import Listeners, Patch, listen
from gradlens.reported.scalars import check

if TYPE_CHECKING:
    from gradlens.lens import Lens

Hear = Callable[[Mapping[str, Any]], None]
# The run has its own epochs.
LEFT_OUT = ("epoch", "step")


def _transformers(original: Callable[..., Any], listeners: Listeners[Hear]) -> Any:
    """Wraps ``CallbackHandler.on_log`` of Transformers."""

    def on_log(self: Any, args: Any, state: Any, control: Any, logs: Any, **kwargs: Any) -> Any:
        # Before the callbacks, which may take numbers out of ``logs``.
        if listeners.newest is not None:
            listeners.newest(logs)
        return original(self, args, state, control, logs, **kwargs)

    return on_log


def _lightning(original: Callable[..., Any], listeners: Listeners[Hear]) -> Any:
    """Wraps ``_LoggerConnector.log_metrics`` of Lightning. It is called without a logger, too."""

    def log_metrics(self: Any, metrics: Any, step: Any = None) -> Any:
        if listeners.newest is not None and metrics:
            listeners.newest({**_rates(self.trainer.optimizers), **metrics})
        return original(self, metrics, step)

    return log_metrics


# Module -> its class, the method to wrap, and the wrapper. A trainer is heard if its module is loaded when measuring begins.
_CONNECTOR = "trainer.connectors.logger_connector.logger_connector"
TRAINERS = {
    "transformers.trainer_callback": ("CallbackHandler", "on_log", _transformers),
    f"lightning.pytorch.{_CONNECTOR}": ("_LoggerConnector", "log_metrics", _lightning),
    f"pytorch_lightning.{_CONNECTOR}": ("_LoggerConnector", "log_metrics", _lightning),
}
_patches: dict[str, Patch[Hear]] = {}


class TrainerLogs:
    """Logs in the lens what the trainers of this process log."""

    def __init__(self, lens: Callable[[], Lens | None], fail: Callable[[Exception], None]) -> None:
        """Keeps its arguments.

        Args:
            lens: Returns the lens, or None.
            fail: Is given each error of gradlens.
        """
        self._lens, self._fail = lens, fail
        self._leaves: list[Callable[[], None]] = []

    def begin(self) -> None:
        """Begins to hear the trainers whose modules are loaded."""
        if not self._leaves:
            self._leaves = [listen(patch, self._heard) for patch in _loaded()]

    def end(self) -> None:
        """Hears nothing more."""
        while self._leaves:
            self._leaves.pop()()

    def _heard(self, numbers: Mapping[str, Any]) -> None:
        try:
            lens = self._lens()
            if lens is not None:
                lens.log(**{name: value for name, value in numbers.items() if _is_number(name, value)})
        except Exception as error:  # in the trainer's own code
            self._fail(error)


def _loaded() -> Iterator[Patch[Hear]]:
    for module, (owner, method, wrap) in TRAINERS.items():
        home = getattr(sys.modules.get(module), owner, None)
        if home is not None and callable(getattr(home, method, None)):
            if module not in _patches:
                _patches[module] = Patch(home, method, wrap)
            yield _patches[module]


def _is_number(name: Any, value: Any) -> bool:
    try:
        check(None, {name: value})
    except (TypeError, ValueError):
        return False
    return name not in LEFT_OUT


def _rates(optimizers: Any) -> dict[str, float]:
    """Returns the learning rate of the first parameters of each optimizer, as "lr", or "lr-0" and so on."""
    rates = [optimizer.param_groups[0].get("lr") for optimizer in optimizers]
    names = ["lr"] if len(rates) == 1 else [f"lr-{number}" for number in range(len(rates))]
    return {name: rate for name, rate in zip(names, rates, strict=True) if rate is not None}
