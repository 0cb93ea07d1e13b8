"""The methods of the lab, by name."""

from gradlens.longtail.methods.dual_phase import DUAL_PHASE
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.registry import METHODS, find_method
from gradlens.longtail.methods.single_phase import CE, PLAIN, PLAIN_2T

__all__ = ["CE", "DUAL_PHASE", "METHODS", "PLAIN", "PLAIN_2T", "Method", "find_method"]
