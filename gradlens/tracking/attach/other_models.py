"""OtherModels: counts the optimizer steps of a process that trained other models than the measured one."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import ref

from torch import Tensor
from torch.optim import Optimizer

from gradlens.tracking.find.models import find_owners, hands_on

# The line names at most this many kinds of optimizers and models.
SHOWN = 6


@dataclass
class _Record:
    """The steps of one optimizer. The record stays when optimizer and model are gone.

    Attributes:
        name: Kind of the optimizer, and name of the model.
        params: The parameters that it trains.
        steps: Number of its steps that trained a model that was not measured at that time.
    """

    name: str
    params: list[ref[Tensor]]
    steps: int = 0

    def trains(self, measured: set[int]) -> bool:
        """Says whether some of the parameters are measured.

        Args:
            measured: Ids of the measured parameters.
        """
        return any((param := weak()) is not None and id(param) in measured for weak in self.params)


class OtherModels:
    """Counts the steps of optimizers whose parameters are not measured: clients, folds, discriminators, ensembles.

    Attributes:
        uncounted: Optimizers whose steps are not counted: they train measured parameters, or only call another optimizer.
    """

    def __init__(self) -> None:
        self._measured: set[int] = set()
        self._records: list[_Record] = []
        # A WeakKeyDictionary made by hand, because it must be fast: each step of each other optimizer looks into it.
        self._record_of: dict[ref[Optimizer], _Record] = {}
        self.uncounted: set[ref[Optimizer]] = set()
        # The name of a model by its shapes. A search for a model takes some 50 ms, and there may be hundreds of copies of one.
        self._names: dict[tuple[object, ...], str] = {}

    def stepped(self, optimizer: Optimizer) -> None:
        """Counts a step of an optimizer, unless it is one of ``uncounted``."""
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
        """Returns the number of counted steps of an optimizer."""
        record = self._record_of.get(ref(optimizer))
        return 0 if record is None else record.steps

    def measuring(self, measured: set[int], *, from_start: bool) -> None:
        """Is called when other parameters are measured from now on.

        Args:
            measured: Ids of these parameters.
            from_start: Whether their steps so far are steps of the run. Then these are no longer counted here.
        """
        self._measured = measured
        if from_start:
            self._records = [record for record in self._records if not record.trains(measured)]
        self.uncounted.clear()  # each optimizer is looked at again
        for weak, record in list(self._record_of.items()):
            if record.trains(measured):
                self._record_of.pop(weak, None)

    def line(self) -> str | None:
        """Returns the line that says which other models were trained and not measured; None if there were none."""
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
