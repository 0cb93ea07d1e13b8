"""The command ``gradlens track``: its options, and the program that it runs once the command line is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from gradlens.choices import DEFAULT_BUDGET, ENGINES
from gradlens.commands.refusals import refusals
from gradlens.tracking.errors import TrackError
from gradlens.tracking.find.batch_path import parse_path
from gradlens.tracking.members.group_options import checked_members
from gradlens.tracking.options import TrackOptions, check_groups, parse_budget, read_groups


@dataclass(frozen=True)
class Tracked:
    """A program to track. It runs after the command line parser has returned."""

    options: TrackOptions
    target: str
    arguments: list[str]
    is_module: bool


class TrackCommand(TyperCommand):
    """The command ``track``. Its usage line says that the program may be a script or a module."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Returns the parts of the usage line after the name of the command."""
        return ["[OPTIONS] (SCRIPT | -m MODULE) [ARGS]..."]


def track_command(
    context: typer.Context,
    program: Annotated[
        list[str],
        typer.Argument(metavar="SCRIPT [ARGS]...", help="the script or, with -m, the module, and its arguments"),
    ],
    module: Annotated[bool, typer.Option("-m", help="run a module, as python -m does")] = False,
    groups: Annotated[
        str | None,
        typer.Option(
            help="head-tail (default), shots, frequency (of tokens), per-class, or NAME=IDS,... such as head=0-69,tail=70-99"
        ),
    ] = None,
    groups_from: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="use the groups of another run, or of a .json or .csv file: class -> group"),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(metavar="PLACE", help="where the labels lie in what the DataLoader yields: batch[1], batch.label"),
    ] = None,
    anchor: Annotated[
        str | None,
        typer.Option(metavar="MODULE", help="the module of the model whose output has a row for each sample"),
    ] = None,
    members: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="make groups of an attribute instead of classes; where it lies in what the DataLoader yields: batch.domain",
        ),
    ] = None,
    every: Annotated[int | None, typer.Option(min=1, help="measure every N optimizer steps")] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="PART",
            help=f"spend at most this part of the training time: 5% or 0.05 (default {DEFAULT_BUDGET:.0%})",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder of the run (default runs/SCRIPT, the next free one)")] = None,
    name: Annotated[str | None, typer.Option(help="name of the run below runs/")] = None,
    engine: Annotated[str, typer.Option(help="auto, masked, split or func")] = "auto",
    layers: Annotated[bool, typer.Option("--layers", help="record every layer")] = False,
    update: Annotated[
        bool | None,
        typer.Option("--update/--no-update", help="record the optimizer's update (default: where it is cheap)"),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="stop the training on an error of gradlens")] = False,
) -> None:
    """Runs an unchanged training script and measures what each group of classes contributes to its gradient."""
    with refusals():
        if groups is not None and groups_from is not None:
            raise TrackError("--groups and --groups-from were both given; choose one")
        if every is not None and budget is not None:
            raise TrackError("--every and --budget were both given; choose one")
        if out is not None and name is not None:
            raise TrackError("--out and --name were both given; choose one")
        if engine not in ENGINES:
            raise TrackError(f"--engine {engine!r}; choose one of {', '.join(ENGINES)}")
        named = None if groups_from is None else read_groups(groups_from)
        if members is not None:
            named = checked_members(members, groups, named, groups_from)
            groups = "per-class" if named is None else None
        elif named is not None and named.get("members") is not None:
            raise TrackError(
                f"--groups-from {groups_from}: its groups are made of {named['members']}; add --members PLACE"
            )
        elif groups is not None:
            check_groups(groups)
        if labels is not None:
            parse_path(labels, "--labels")
        options = TrackOptions(
            groups=groups,
            groups_from=named,
            members=members,
            groups_source=groups_from,
            labels=labels,
            anchor=anchor,
            every=every,
            budget=TrackOptions.budget if budget is None else parse_budget(budget),
            out=out,
            name=name,
            engine=engine,
            layers=layers,
            update=update,
            strict=strict,
        )
        context.obj.append(Tracked(options, program[0], program[1:], module))
