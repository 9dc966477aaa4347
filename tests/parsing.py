"""Reading a command line as the program would, without running it."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from medverdict.cli import app


def every_command() -> list[tuple[str, ...]]:
    """The program itself, each command, each group and each of its members, as words."""
    found: list[tuple[str, ...]] = [()]
    for name, command in typer.main.get_command(app).commands.items():
        found.append((name,))
        found += [(name, member) for member in getattr(command, "commands", {})]
    return found


def parse(words: Sequence[str]) -> None:
    """Read the words after `medverdict`. Raises typer's own errors for what the program would refuse."""
    command, name, rest = typer.main.get_command(app), "medverdict", list(words)
    parent = None
    while hasattr(command, "commands"):
        parent = command.make_context(name, rest, parent=parent)
        rest = [*parent._protected_args, *parent.args]
        if not rest:
            return  # a group that lists, such as `recipes`
        name, command, rest = command.resolve_command(parent, rest)
    command.make_context(name, rest, parent=parent)
