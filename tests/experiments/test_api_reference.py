"""The API reference: it holds every public name with its example, and a warning of the generator ends it."""

from __future__ import annotations

import re
import sys
from html import unescape
from pathlib import Path

import pytest

import gradlens
from tests.tracking.processes import run

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "api_reference.py"
# As the script, but with an annotation that names nothing.
BROKEN = """
import runpy, sys
from gradlens import Lens
Lens.epochs.__annotations__["epochs"] = "Nowhere"
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

pytest.importorskip("pdoc")
pytest.importorskip("lightning")


@pytest.mark.slow
def test_it_has_every_public_name(tmp_path):
    done = run([sys.executable, str(SCRIPT), "here"], tmp_path)
    assert done.code == 0, done.err
    page = unescape(re.sub("<[^>]+>", "", (tmp_path / "here" / "gradlens.html").read_text()))
    for name in gradlens.__all__:
        assert re.search(rf"^\s*(class|def)\s*{name}\b", page, re.MULTILINE), name
    assert page.count("Example") >= len(gradlens.__all__)
    assert "Returns [T] cos(g_name, g)" in page
    pages = {str(path.relative_to(tmp_path / "here")) for path in tmp_path.rglob("*.html")}
    callbacks = {f"gradlens/integrations/{name}.html" for name in ("lightning", "transformers")}
    assert pages == {"index.html", "gradlens.html", *callbacks}, "no room of the code is part of it"


@pytest.mark.slow
def test_a_warning_ends_it(tmp_path):
    done = run([sys.executable, "-c", BROKEN, str(SCRIPT), "here"], tmp_path)
    assert done.code == 1
    assert "UserWarning: Error parsing type annotation Nowhere" in done.err
