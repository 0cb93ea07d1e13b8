"""What a terminal shows of a table."""

import io

from rich.console import Console

from gradlens.analysis.distortion import distortion_interval


def printed(*renderables, width=150) -> str:
    file = io.StringIO()
    for renderable in renderables:
        Console(file=file, width=width).print(renderable)
    return file.getvalue()


def shown(run, *span):
    """How a distortion is written, from its numbers."""
    found = distortion_interval(run, *span)
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
