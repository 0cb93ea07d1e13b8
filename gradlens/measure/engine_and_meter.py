"""EngineAndMeter: the engine and the meter that fit the parameters that train now and the components of the loss."""

from __future__ import annotations

from collections.abc import Callable
from operator import is_

from torch import nn

from gradlens.autograd.inner_products import Layout, differentiable
from gradlens.batch.rows import LabelsError
from gradlens.engines import EngineSwitch
from gradlens.groups import ClassGroups
from gradlens.guards.module_walk import parameters_of
from gradlens.measure.meter import StepMeter
from gradlens.measure.processes import TrainingProcesses
from gradlens.metrics.gram import REST, UPDATE


class EngineAndMeter:
    """Makes a new engine and a new meter when the training freezes or unfreezes parameters, or changes its loss.

    Attributes:
        model: The model.
        layout: The parameters by layer.
        switch: Holds the engine in use.
        meter: The meter of the current step.
        components: Names of the loss components; () for a single loss.
    """

    def __init__(
        self,
        model: nn.Module,
        groups: ClassGroups,
        engine: str,
        on_change: Callable[[str, str], None],
        processes: TrainingProcesses,
    ) -> None:
        """Makes the first engine and the first meter.

        Args:
            model: The model.
            groups: K groups.
            engine: One of ``gradlens.choices.ENGINES``.
            on_change: Called with (engine name, reason) when another engine replaces the one in use.
            processes: The processes that train.

        Raises:
            ValueError: No parameter has requires_grad.
        """
        self.layout = Layout.of(model)
        if not self.layout.trainable():
            raise ValueError("the model has no parameter that wants a gradient; unfreeze some before making the lens")
        self.model, self._groups, self._on_change, self._processes = model, groups, on_change, processes
        self.components: tuple[str, ...] = ()
        self._walked: list[nn.Parameter] = []
        self._trained = self.layout.trainable()
        exact, why = processes.engine_for(engine)
        self.switch = self._switch(exact, on_change)
        self.reset()
        if why is not None:
            self.switch.reason = why

    def names(self, *, update: bool) -> tuple[str, ...]:
        """Returns the names of the recorded vectors."""
        groups = self._groups.names
        vectors = [f"{part}/{group}" for part in self.components for group in groups] if self.components else groups
        return (*vectors, REST, *([UPDATE] if update else []))

    def reset(self) -> None:
        """Discards all that was measured in the current step."""
        self.meter = self._meter(self.switch)

    def arm(self) -> None:
        """Prepares for the forward pass of a measured step."""
        self._find_layout()
        if self.layout.trainable() != self._trained:
            self._trained = self.layout.trainable()
            self.switch = self._switch(self.switch.engine.name, self._on_change)
            self.reset()
        self.switch.arm()

    def meter_for(self, components: tuple[str, ...]) -> StepMeter:
        """Returns the meter for a backward pass of a measured step.

        Args:
            components: Names of the pass's loss components; () for a single loss.

        Raises:
            LabelsError: An earlier backward pass of the same step had other components.
        """
        if self.meter.begun:
            if components != self.components:
                raise LabelsError(
                    f"loss components {list(components)} follow {list(self.components)} within one optimizer step; give the "
                    "same ones in every backward pass of a step"
                )
            return self.meter
        self._find_layout()
        if components != self.components:
            self.components = components
            self.reset()
        trained = self.layout.trainable()
        if trained != self._trained:
            # Parameters were frozen or unfrozen since the step was armed. The masked engine needs no preparation in the
            # forward pass. The next step makes the usual engine anew.
            self._trained = trained
            self.meter = self._meter(self._switch("masked", lambda *_: None))
            self._trained = []
        return self.meter

    def _find_layout(self) -> None:
        if self._processes.shards:
            return  # between forward and backward pass, fully_shard puts whole parameters into the modules
        walked = parameters_of(self.model)
        if len(walked) == len(self._walked) and all(map(is_, walked, self._walked)):
            return
        self._walked = walked
        params = [param for param in self.model.parameters() if differentiable(param)]
        if [id(param) for param in params] != [id(param) for param in self.layout.params]:
            # A layer was added or replaced (a new head).
            self.layout, self._trained = Layout.of(self.model), []

    def _switch(self, engine: str, on_change: Callable[[str, str], None]) -> EngineSwitch:
        return EngineSwitch(engine, self.model, [self.layout.params[i] for i in self._trained], on_change)

    def _meter(self, switch: EngineSwitch) -> StepMeter:
        return StepMeter(self.layout, self._groups, max(len(self.components), 1), switch, self._processes)
