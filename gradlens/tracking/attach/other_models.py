"""OtherModels: how many optimizer steps of a process trained something else than what is measured."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import ref

from torch import Tensor
from torch.optim import Optimizer

from gradlens.tracking.find.models import find_owners, hands_on

# Kinds of optimizers and models that the line names.
SHOWN = 6


@dataclass
class _Record:
    """What one optimizer has done; it outlives optimizer and model.

    Attributes:
        name: Kind of the optimizer, and the model.
        params: The parameters that it trains.
        steps: How many steps of it trained something else than what was measured then.
    """

    name: str
    params: list[ref[Tensor]]
    steps: int = 0

    def trains(self, measured: set[int]) -> bool:
        """Says whether some of the parameters are among those measured."""
        return any((param := weak()) is not None and id(param) in measured for weak in self.params)


class OtherModels:
    """Counts the steps of optimizers whose parameters are not measured: clients, folds, discriminators, ensembles.

    Attributes:
        uncounted: Optimizers whose steps need not be told: they train some of what is measured, or hand their steps on.
    """

    def __init__(self) -> None:
        self._measured: set[int] = set()
        self._records: list[_Record] = []
        # By weak references, as in a WeakKeyDictionary, but these are asked in each step of each optimizer beside the measured.
        self._record_of: dict[ref[Optimizer], _Record] = {}
        self.uncounted: set[ref[Optimizer]] = set()
        # A search of the process for the model costs some 50 ms, and copies of one model may come by the hundred.
        self._names: dict[tuple[object, ...], str] = {}

    def stepped(self, optimizer: Optimizer) -> None:
        """Counts one step."""
        if ref(optimizer) in self.uncounted:
            return
        try:
            record = self._record_of[ref(optimizer)]
        except KeyError:
            new = self._new(optimizer)
            if new is None:
                self.uncounted.add(ref(optimizer, self.uncounted.discard))
                return
            record = self._record_of[ref(optimizer, self._record_of.pop)] = new
        record.steps += 1

    def of(self, optimizer: Optimizer) -> int:
        """Returns how many steps of an optimizer were counted."""
        record = self._record_of.get(ref(optimizer))
        return 0 if record is None else record.steps

    def measuring(self, measured: set[int], *, from_start: bool) -> None:
        """Takes note of what is measured from now on.

        Args:
            measured: Ids of the parameters.
            from_start: Whether the steps that they have taken so far are steps of the run.
        """
        self._measured = measured
        if from_start:
            self._records = [record for record in self._records if not record.trains(measured)]
        self.uncounted.clear()  # to be looked at anew
        for weak, record in list(self._record_of.items()):
            if record.trains(measured):
                self._record_of.pop(weak, None)

    def line(self) -> str | None:
        """Returns the line that says what trained unmeasured; None where nothing did."""
        records = [record for record in self._records if record.steps]
        if not records:
            return None
        of_name = {record.name: 0 for record in records}
        for record in records:
            of_name[record.name] += record.steps
        parts = list(of_name) if len(of_name) == 1 else [f"{name}: {steps:,}" for name, steps in of_name.items()]
        shown = ", ".join(parts[:SHOWN]) + (f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else "")
        steps = _counted(sum(of_name.values()), "optimizer step")
        return (
            f"not measured: {steps} by {_counted(len(records), 'optimizer')} of other models ({shown}); to measure them, train "
            "each model in a process of its own, or give each a gradlens.Lens"
        )

    def _new(self, optimizer: Optimizer) -> _Record | None:
        params = _params(optimizer)
        if hands_on(optimizer) or any(id(param) in self._measured for param in params):
            return None
        record = _Record(self._name(optimizer, params), [ref(param) for param in params])
        self._records.append(record)
        return record

    def _name(self, optimizer: Optimizer, params: list[Tensor]) -> str:
        kind = type(optimizer).__name__
        shapes = (kind, *(param.shape for param in params))
        if shapes not in self._names:
            self._names[shapes] = f"{kind} of {find_owners(params).name.removeprefix('of ')}" if params else kind
        return self._names[shapes]


def _params(optimizer: Optimizer) -> list[Tensor]:
    return [param for group in optimizer.param_groups for param in group["params"]]


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
