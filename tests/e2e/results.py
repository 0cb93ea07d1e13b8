"""Where the tests of styles note what they found, for `make support-table`."""

from __future__ import annotations

import json
import os
from pathlib import Path


def note(name: str, **facts: object) -> None:
    """Writes the facts of one case to the folder that GRADLENS_SUPPORT names, if it is set.

    Args:
        name: Name of the case.
        **facts: "area", "title", "tracked", "exact" (largest error of a Gram matrix, or None), "identical", "instead".
    """
    folder = os.environ.get("GRADLENS_SUPPORT")
    if folder:
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        (path / f"{name}.json").write_text(json.dumps({"name": name, **facts}, indent=1, sort_keys=True) + "\n")
