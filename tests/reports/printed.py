"""What a terminal shows of a table."""

import io

from rich.console import Console


def printed(*renderables, width=150) -> str:
    file = io.StringIO()
    for renderable in renderables:
        Console(file=file, width=width).print(renderable)
    return file.getvalue()
