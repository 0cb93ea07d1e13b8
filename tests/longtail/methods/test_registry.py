"""Methods by name."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import METHODS, find_method, registry
from gradlens.longtail.tasks.digits import digits_task
from gradlens.longtail.tasks.loading import NAMES


def with_presets(method):
    return [(method, preset) for preset in (None, *method.presets)]


@pytest.mark.parametrize(
    ("method", "preset"),
    [pair for method in METHODS.values() for pair in with_presets(method)],
    ids=lambda value: getattr(value, "name", value),
)
def test_every_setting_of_every_method_has_a_source(method, preset):
    described = method.on(digits_task(), preset=preset).settings.to_json()
    assert {"epochs", "batch", "learning_rate", "momentum", "weight_decay"} <= set(described)
    assert described.keys() == method.on(digits_task()).settings.keys()  # a preset has no name of its own
    known = (
        r"paper, (Section|Algorithm|Equation|Figure|Appendix) ?|gradlens: |(.* et al\.|\w+ & \w+) \d{4}"
        r"|sqrt\(C1 / C2\), Appendix A"
    )
    assert [name for name, entry in described.items() if not re.match(known, entry["source"])] == []
    assert json.loads(json.dumps(described)) == described


def test_a_preset_begins_with_the_name_of_its_data_set():
    names = [preset for method in METHODS.values() for preset in method.presets]
    assert [name for name in names if not name.startswith(NAMES)] == []


def test_an_unknown_method_is_answered_with_the_nearest_name_and_the_list():
    with pytest.raises(LongTailError, match="no method 'dualphase'; did you mean 'dual-phase'") as raised:
        find_method("dualphase")
    assert all(f"\n  {name} " in str(raised.value) for name in METHODS)


@pytest.mark.parametrize("written", ["PCGrad", "LDAM-DRW", "MiSLAS", "BBN"])
def test_a_name_as_papers_write_it_is_answered_with_the_method(written):
    with pytest.raises(LongTailError, match=f"no method '{written}'; did you mean '{written.lower()}'"):
        find_method(written)


def test_methods_in_folders_are_found():
    here = Path(registry.__file__).parent
    files = [path for path in here.rglob("*.py") if "\nMETHODS = (" in path.read_text()]
    listed = {
        method.name
        for path in files
        for method in import_module(
            ".".join(["gradlens.longtail.methods", *path.relative_to(here).with_suffix("").parts])
        ).METHODS
    }
    assert listed == set(METHODS)
