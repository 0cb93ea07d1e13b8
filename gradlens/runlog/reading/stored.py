"""Attributes of ``Run`` that are read from the files when they are used: stored columns, and phases, marks and evaluations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, Self, TypeVar, overload

from numpy.typing import NDArray

from gradlens.runlog.format.events import Event

T = TypeVar("T")


class _HasColumns(Protocol):
    def column(self, name: str) -> NDArray[Any]: ...


class FromColumn:
    """An attribute whose value is a stored column. It is read when the attribute is used."""

    def __init__(self, name: str, doc: str) -> None:
        self._name = name
        self.__doc__ = doc

    @overload
    def __get__(self, run: None, owner: type) -> Self: ...

    @overload
    def __get__(self, run: _HasColumns, owner: type) -> NDArray[Any]: ...

    def __get__(self, run: _HasColumns | None, owner: type) -> Self | NDArray[Any]:
        return self if run is None else run.column(self._name)


class _HasEvents(Protocol):
    def _events_in_force(self) -> list[Event]: ...


class FromEvents(Generic[T]):
    """An attribute whose value is computed, when it is used, from the events that no later session supersedes."""

    def __init__(self, read: Callable[[list[Event]], list[T]], doc: str) -> None:
        self._read = read
        self.__doc__ = doc

    @overload
    def __get__(self, run: None, owner: type) -> Self: ...

    @overload
    def __get__(self, run: _HasEvents, owner: type) -> list[T]: ...

    def __get__(self, run: _HasEvents | None, owner: type) -> Self | list[T]:
        return self if run is None else self._read(run._events_in_force())
