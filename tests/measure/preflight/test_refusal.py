"""What is said of a training that is not measured: the cause, and what became of it."""

from __future__ import annotations

from gradlens.measure.preflight.refusal import Refusal


def test_the_line_says_what_became_of_the_training():
    assert Refusal("a hook").line == "a hook; it is not measured, and training is untouched"
    assert str(Refusal("a hook")) == "a hook"
    touched = Refusal("a hook, which may have changed this training", touched=True)
    assert touched.line == "a hook, which may have changed this training; measuring stops"
