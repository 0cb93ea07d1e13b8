"""Refusal: a training that cannot be measured without harm, or not exactly."""

from __future__ import annotations


class Refusal(Exception):
    """Says why this training is not measured, in one line; raised before anything of it was touched, unless it says so."""
