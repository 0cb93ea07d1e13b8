"""Refusal: a training that cannot be measured without harm, or not exactly."""

from __future__ import annotations


class Refusal(Exception):
    """Says why this training is not measured.

    Attributes:
        line: The message, with what became of the training.
    """

    def __init__(self, why: str, *, touched: bool = False) -> None:
        """Prepares.

        Args:
            why: The cause.
            touched: Whether passes of ours may have changed the training, which ``why`` says then.
        """
        super().__init__(why)
        self.line = f"{why}; measuring stops" if touched else f"{why}; it is not measured, and training is untouched"
