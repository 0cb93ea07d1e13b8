"""Engines: how the gradient of a group is obtained, behind one small protocol."""

from gradlens.engines._choose import CHOICES, EngineSwitch, choose_engine
from gradlens.engines._protocol import Engine, EngineRefusal, Grads
from gradlens.engines.masked import MaskedEngine, pull_back

__all__ = ["CHOICES", "Engine", "EngineRefusal", "EngineSwitch", "Grads", "MaskedEngine", "choose_engine", "pull_back"]
