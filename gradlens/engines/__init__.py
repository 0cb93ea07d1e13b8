"""Engines: how the gradient of a group is obtained, behind one small protocol."""

from gradlens.engines._protocol import Engine, EngineRefusal, Grads
from gradlens.engines.masked import MaskedEngine

__all__ = ["Engine", "EngineRefusal", "Grads", "MaskedEngine"]
