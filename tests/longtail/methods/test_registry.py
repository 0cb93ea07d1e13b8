"""Methods by name."""

import json
import re

import pytest

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import METHODS, find_method
from gradlens.longtail.tasks.digits import digits_task


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_every_setting_of_every_method_has_a_source(method):
    described = method.on(digits_task()).settings.to_json()
    assert {"epochs", "batch", "learning_rate", "momentum", "weight_decay"} <= set(described)
    known = (
        r"paper, (Section|Algorithm|Equation|Figure|Appendix) ?|gradlens: |.* et al\. \d{4}|sqrt\(C1 / C2\), Appendix A"
    )
    assert [name for name, entry in described.items() if not re.match(known, entry["source"])] == []
    assert json.loads(json.dumps(described)) == described


def test_an_unknown_method_is_answered_with_the_list():
    with pytest.raises(LongTailError, match="dual-phase"):
        find_method("dualphase")
