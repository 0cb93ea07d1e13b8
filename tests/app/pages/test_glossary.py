"""The glossary has every quantity, each with its formula and a picture; figures link to it."""

import json
import re
from xml.etree import ElementTree

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from gradlens.metrics.catalogue import QUANTITIES
from gradlens_dashboard.components.glossary_pictures import PICTURES, picture
from tests.app.opened_pages import opened, text


def test_every_quantity_has_its_definition_and_a_picture(monkeypatch, tmp_path):
    page = text(opened(monkeypatch, tmp_path, "glossary"))
    assert set(PICTURES) == set(QUANTITIES)
    for name, quantity in QUANTITIES.items():
        assert f'id="{name}"' in page
        assert quantity.definition[1:].split(";")[0].replace("<", "&lt;") in page
    assert page.count("<svg") == len(QUANTITIES)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_sound_and_stays_in_its_frame(name):
    drawn = ElementTree.fromstring(picture(name, 'cosine & "others"'))
    _, _, width, height = map(float, drawn.attrib["viewBox"].split())
    for part in drawn:
        numbers = [float(x) for x in re.findall(r"-?\d+\.?\d*", part.attrib.get("points", ""))]
        assert all(-1 <= x <= width + 1 for x in numbers[::2])
        assert all(-1 <= y <= height + 1 for y in numbers[1::2])
    assert picture("unknown", "") == ""


def test_each_figure_of_a_run_links_to_the_glossary(monkeypatch, folder):
    for show in ("gradient", "layers", "fit", "update"):
        at = opened(monkeypatch, folder, "run", run="dual", show=show)
        drawn = [json.loads(e.proto.json) for e in at.get("bidi_component")]
        for data in drawn:
            if "figure" in data and data["key"] != "logged":
                assert data["explains"] in QUANTITIES, data["key"]
