"""gradlens: whose gradient is my model following?

Measures, while any PyTorch model trains, what each group of classes contributes to the gradient.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradlens.analysis.distortion import distortion
    from gradlens.groups import ClassGroups
    from gradlens.lens import Lens
    from gradlens.marks import log, mark, phase
    from gradlens.measure.group_gradients import group_gradients
    from gradlens.measure.probe import probe
    from gradlens.metrics.measurement import Measurement
    from gradlens.runlog import Run
    from gradlens.tracking.observe import observe

__version__ = "0.1.0"

__all__ = [
    "ClassGroups",
    "Lens",
    "Measurement",
    "Run",
    "distortion",
    "group_gradients",
    "log",
    "mark",
    "observe",
    "phase",
    "probe",
]

# Loaded when first used: `import gradlens` and the command line stay quick, and the tracker can patch torch first.
_HOMES = {
    "ClassGroups": "gradlens.groups",
    "Lens": "gradlens.lens",
    "Measurement": "gradlens.metrics.measurement",
    "Run": "gradlens.runlog",
    "distortion": "gradlens.analysis.distortion",
    "group_gradients": "gradlens.measure.group_gradients",
    "log": "gradlens.marks",
    "mark": "gradlens.marks",
    "observe": "gradlens.tracking.observe",
    "phase": "gradlens.marks",
    "probe": "gradlens.measure.probe",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gradlens' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
