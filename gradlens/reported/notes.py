"""Notes: what a lens writes into its run beside measurements: phases, marks, evaluations, the training's own numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from gradlens.reported.scalars import as_number, check

if TYPE_CHECKING:
    from gradlens.measure.recorder import Recorder


class _Lens(Protocol):
    """What this file needs of the lens that it is a part of."""

    _recorder: Recorder

    @property
    def step(self) -> int: ...

    @property
    def epoch(self) -> int | None: ...

    def event(self, kind: str, **facts: Any) -> None: ...


class Notes:
    """The methods of a lens by which a training names phases and moments, and reports its own numbers."""

    def phase(self: _Lens, name: str) -> None:
        """Begins a phase of the training, such as "II". Figures show it as a band."""
        self.event("phase", name=name)

    def mark(self: _Lens, text: str) -> None:
        """Marks the current step with a text. Figures show it."""
        self.event("mark", text=text)

    def evaluation(self: _Lens, **numbers: Any) -> None:
        """Logs the results of an evaluation, such as ``split="test", head=71.2, tail=12.0, overall=53.4`` (in percent)."""
        self.event("evaluation", **({"epoch": self.epoch} | numbers))

    def event(self: _Lens, kind: str, **facts: Any) -> None:
        """Logs an event of any kind at the current step."""
        self._recorder.event(kind, self.step, **facts)

    def log(self: _Lens, step: int | None = None, **values: Any) -> None:
        """Logs numbers of the training itself, such as its validation loss; see ``gradlens.log``.

        Args:
            step: The optimizer step that they belong to; None = the current one.
            **values: Name -> a number, or a tensor of one element.

        Raises:
            TypeError: A value is no single number.
            ValueError: A name cannot be used.
        """
        check(step, values)
        writer = self._recorder.writer
        if writer is not None:
            numbers = {name: as_number(value) for name, value in values.items()}
            writer.log(self.step if step is None else step, numbers)
