"""The settings of how a network computes, which all tasks have."""

from __future__ import annotations

from gradlens.longtail.networks.computing import Computing
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.settings import Setting, Settings


def computing_settings(memory_format: str) -> dict[str, Setting]:
    """Returns the settings ``precision``, ``memory_format`` and ``compile``.

    Args:
        memory_format: The memory format in which the task's network is fastest.
    """
    return {
        "precision": Setting("float32", "gradlens: no paper of these tables names another"),
        "memory_format": Setting(memory_format, "gradlens: the faster one; only rounding differs"),
        "compile": Setting(False, "gradlens: off, since it needs a C++ compiler on a CPU; only rounding differs"),
    }


def computing_of(settings: Settings) -> Computing:
    """Returns how the settings say that a network computes.

    Raises:
        LongTailError: A setting has a value that it cannot have.
    """
    return Computing(settings["precision"], settings["memory_format"], settings["compile"])


def computed(network: Network, settings: Settings) -> Network:
    """Makes a network compute as the settings say, and returns it.

    Raises:
        LongTailError: A setting has a value that it cannot have.
    """
    return network.computed(computing_of(settings))
