"""SharedFitting: engine and meter of one process of several."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from gradlens.distributed.meter import Shared, SharedMeter
from gradlens.distributed.wrappers import Sharing
from gradlens.engines import EngineSwitch
from gradlens.groups import ClassGroups
from gradlens.measure.engine_and_meter import Fitting


class SharedFitting(Fitting):
    """Keeps engine and meter fitted, so that all processes run the same backward passes."""

    def __init__(
        self,
        shared: Shared,
        model: nn.Module,
        groups: ClassGroups,
        engine: str,
        on_change: Callable[[str, str], None],
    ) -> None:
        """Prepares.

        Args:
            shared: What all steps share.
            model: The model.
            groups: K groups.
            engine: One of ``gradlens.choices.ENGINES``; replaying a forward pass would replay its collectives, so that
                "func" becomes "masked".
            on_change: Called with (engine name, reason) when another engine takes over.

        Raises:
            ValueError: No parameter wants a gradient.
        """
        self._shared = shared
        exact = engine == "func" or shared.sharing is Sharing.SHARDS
        super().__init__(model, groups, "masked" if exact else engine, on_change)
        if exact and engine != "masked":
            self.switch.reason = f"{engine}: only the masked engine treats {shared.sharing.value} exactly"

    def _find_layout(self) -> None:
        # Between forward and backward pass fully_shard lends whole parameters to the modules.
        if self._shared.sharing is not Sharing.SHARDS:
            super()._find_layout()

    def _meter(self, switch: EngineSwitch) -> SharedMeter:
        return SharedMeter(self._shared, self.layout, self._groups, max(len(self.components), 1), switch)
