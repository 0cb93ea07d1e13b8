"""Refusal: the error of a training that cannot be measured without a change to it, or not exactly."""

from __future__ import annotations


class Refusal(Exception):
    """Says why this training is not measured.

    Attributes:
        line: The message for the user: the cause, and whether the training was changed.
    """

    def __init__(self, why: str, *, touched: bool = False) -> None:
        """Builds the message.

        Args:
            why: The cause.
            touched: Whether gradlens' own passes may have changed the training. Then ``why`` says so.
        """
        super().__init__(why)
        self.line = f"{why}; measuring stops" if touched else f"{why}; it is not measured, and training is untouched"
