"""The API reference, from docstrings: python experiments/api_reference.py [FOLDER], or `make docs`.

It has the public names and the callbacks. What the generator warns of is an error: a name that does not resolve, an
annotation that cannot be read.
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
# All other modules are rooms of the code, not of the reference.
OTHERS = rf"!gradlens\.(?!{'|'.join(re.escape(name.removeprefix('gradlens.')) for name in MODULES[1:])})"


def write_reference(folder: Path) -> None:
    """Writes the pages.

    Raises:
        Warning: Something cannot be documented as it stands.
    """
    for name in MODULES:  # before warnings are errors: those of other packages are not ours
        import_module(name)
    for name in gradlens.__all__:  # loaded when first used, and the generator asks for what is there
        getattr(gradlens, name)
    pdoc.render.configure(docformat="google", show_source=False, footer_text=f"gradlens {gradlens.__version__}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdoc.pdoc(*MODULES, OTHERS, output_directory=folder)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("build") / "reference"
    write_reference(target)
    print(f"{target / 'index.html'}")
