"""The run log: the only code that knows the files of a run."""

from gradlens.runlog.errors import NotARun, RunError, RunExistsError, RunLogWarning, RunTooNew
from gradlens.runlog.events import Mark, Phase
from gradlens.runlog.listing import list_runs
from gradlens.runlog.meta import RunMeta
from gradlens.runlog.probes import Probe
from gradlens.runlog.reader import Run
from gradlens.runlog.status import RunStatus
from gradlens.runlog.writer import RunWriter

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
