"""Writes the API reference from docstrings: python experiments/api_reference.py [FOLDER], or `make docs`.

It has the public names and the callbacks. A warning of the generator is an error, for example if a name does not resolve or
an annotation cannot be read.
"""

from __future__ import annotations

import re
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pdoc
import pdoc.render

import gradlens

MODULES = ("gradlens", "gradlens.integrations.lightning", "gradlens.integrations.transformers")
# All other modules are left out: they are not public.
OTHERS = rf"!gradlens\.(?!{'|'.join(re.escape(name.removeprefix('gradlens.')) for name in MODULES[1:])})"


def write_reference(folder: Path) -> None:
    """Writes the pages of the reference.

    Args:
        folder: Folder for the pages.

    Raises:
        Warning: The generator cannot document something.
    """
    for name in MODULES:  # imported before warnings become errors, since other packages may warn
        import_module(name)
    for name in gradlens.__all__:  # names are loaded when first used, and the generator only sees loaded ones
        getattr(gradlens, name)
    pdoc.render.configure(docformat="google", show_source=False, footer_text=f"gradlens {gradlens.__version__}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdoc.pdoc(*MODULES, OTHERS, output_directory=folder)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("build") / "reference"
    write_reference(target)
    print(f"{target / 'index.html'}")
