"""Engines compute the gradient of each group. All of them follow one small protocol, ``Engine``."""

from gradlens.engines.choose import EngineSwitch, choose_engine
from gradlens.engines.masked import MaskedEngine, pull_back
from gradlens.engines.protocol import Engine, EngineRefusal

__all__ = ["Engine", "EngineRefusal", "EngineSwitch", "MaskedEngine", "choose_engine", "pull_back"]
