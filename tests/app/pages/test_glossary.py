"""The glossary has every quantity, each with its formula and a picture; figures link to it."""

import base64
import html
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
        assert quantity.definition in html.unescape(page)
    assert page.count("data:image/svg+xml") == len(QUANTITIES)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_sound_and_stays_in_its_frame(name):
    code = re.search(r'base64,([^"]+)', picture(name, 'cosine & "others"'))
    assert code is not None
    drawn = ElementTree.fromstring(base64.b64decode(code[1]))
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
