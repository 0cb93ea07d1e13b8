"""Methods by name."""

import dataclasses
import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import METHODS, find_method, registry
from gradlens.longtail.tasks.digits import digits_task
from gradlens.longtail.tasks.loading import NAMES
from gradlens.longtail.tasks.photos import IMAGENET_SETTINGS, INATURALIST_SETTINGS, PLACES_SETTINGS
from tests.longtail.tiny_training import tiny_task

OF_DATA = {"imagenet-lt": IMAGENET_SETTINGS, "places-lt": PLACES_SETTINGS, "inaturalist2018": INATURALIST_SETTINGS}


def with_presets(method):
    return [(method, preset) for preset in (None, *method.presets)]


@pytest.mark.parametrize(
    ("method", "preset"),
    [pair for method in METHODS.values() for pair in with_presets(method)],
    ids=lambda value: getattr(value, "name", value),
)
def test_every_setting_of_every_method_has_a_source(method, preset):
    data = next((own for name, own in OF_DATA.items() if preset and preset.startswith(name)), None)
    task = digits_task() if data is None else dataclasses.replace(digits_task(), settings=data)
    described = method.on(task, preset=preset).settings.to_json()
    assert {"epochs", "batch", "learning_rate", "momentum", "weight_decay"} <= set(described)
    assert described.keys() == method.on(task).settings.keys()  # a preset has no name of its own
    known = (
        r"paper, (Section|Algorithm|Equation|Figure|Appendix) ?|gradlens: |(.* et al\.|\w+ & \w+) \d{4}"
        r"|sqrt\(C1 / C2\), Appendix A"
    )
    own = (
        described if data is None else {*method.settings, *method.presets[preset]}
    )  # those of the data have other words
    assert [name for name in own if not re.match(known, described[name]["source"])] == []
    assert json.loads(json.dumps(described)) == described


def test_a_preset_begins_with_the_name_of_its_data_set():
    names = [preset for method in METHODS.values() for preset in method.presets]
    assert [name for name in names if not name.startswith(NAMES)] == []


def test_a_preset_of_photos_is_refused_where_there_are_none():
    with pytest.raises(
        LongTailError, match=r"'places-lt' of crt sets pretrained, .*which digits does not have; choose"
    ):
        find_method("crt").on(digits_task(), preset="places-lt")


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_single_class_is_refused(task, method):
    single = dataclasses.replace(tiny_task((40,)), settings=task.settings)
    with pytest.raises(LongTailError, match=r"needs? at least two classes, and tiny has 1"):
        method.on(single)


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
