"""Stored columns as attributes of a Run."""

from __future__ import annotations

from typing import Any, Protocol, Self, overload

from numpy.typing import NDArray


class _HasColumns(Protocol):
    def column(self, name: str) -> NDArray[Any]: ...


class Stored:
    """An attribute that reads a stored column whenever it is asked for."""

    def __init__(self, name: str, doc: str) -> None:
        self._name = name
        self.__doc__ = doc

    @overload
    def __get__(self, run: None, owner: type) -> Self: ...

    @overload
    def __get__(self, run: _HasColumns, owner: type) -> NDArray[Any]: ...

    def __get__(self, run: _HasColumns | None, owner: type) -> Self | NDArray[Any]:
        return self if run is None else run.column(self._name)
