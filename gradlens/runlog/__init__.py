"""The run log: writes and reads the files of a run. No other code knows these files."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradlens.runlog.errors import NotARun, RunError, RunExistsError, RunLogWarning, RunTooNew
    from gradlens.runlog.format.description import RunMeta
    from gradlens.runlog.format.events import Mark, Phase
    from gradlens.runlog.format.probes import Probe
    from gradlens.runlog.reading.listing import list_runs
    from gradlens.runlog.reading.reader import Run
    from gradlens.runlog.reading.status import RunStatus
    from gradlens.runlog.writing.writer import RunWriter

__all__ = [
    "Mark",
    "NotARun",
    "Phase",
    "Probe",
    "Run",
    "RunError",
    "RunExistsError",
    "RunLogWarning",
    "RunMeta",
    "RunStatus",
    "RunTooNew",
    "RunWriter",
    "list_runs",
]

# Each name is imported when it is first used. So a run's description can be read without the imports that its rows need.
_HOMES = {
    "Mark": "format.events",
    "NotARun": "errors",
    "Phase": "format.events",
    "Probe": "format.probes",
    "Run": "reading.reader",
    "RunError": "errors",
    "RunExistsError": "errors",
    "RunLogWarning": "errors",
    "RunMeta": "format.description",
    "RunStatus": "reading.status",
    "RunTooNew": "errors",
    "RunWriter": "writing.writer",
    "list_runs": "reading.listing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gradlens.runlog' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"gradlens.runlog.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
