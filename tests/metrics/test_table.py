"""The table of quantities in pages."""

import pytest

from gradlens.metrics.table import with_table


def test_a_page_without_markers_is_said():
    with pytest.raises(ValueError, match="write <!-- quantities -->"):
        with_table("# A page")
