"""The list of pages has every page, and the browser's tests go through all of them."""

from pathlib import Path

import gradlens_dashboard
from gradlens_dashboard.page_list import PAGES
from tests.e2e import browser

FOLDER = Path(gradlens_dashboard.__file__).parent / "pages"


def test_every_page_is_listed_and_tested():
    assert sorted(page.file for page in PAGES) == sorted(path.stem for path in FOLDER.glob("*.py"))
    assert {page.path: page.title for page in PAGES} == browser.PAGES
