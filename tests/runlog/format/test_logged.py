"""Names of what a training logs itself."""

import pytest

from gradlens.runlog.format.logged import LONGEST_NAME, check_name


@pytest.mark.parametrize(
    "name", ["loss", "val/loss", "lr-Adam/pg1", "top 1", "Verlust der Prüfung", "x" * LONGEST_NAME]
)
def test_any_printable_text_is_a_name(name):
    check_name(name)


@pytest.mark.parametrize("name", ["", " a", "a\n", "a\tb", "x" * (LONGEST_NAME + 1), 3, None])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="is no name of a value; use a text"):
        check_name(name)
