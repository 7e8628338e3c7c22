"""`actorflow savepoint` is a command, and a group: `savepoint JOB [DIR]` takes one, `savepoint show PATH` looks at one."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

TAKE = "take"
"""The command that is meant where no other one is named."""


class SavepointGroup(TyperGroup):
    """Takes what is no command's name for a job's."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that a command line means, with its arguments."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            args = [TAKE, *args]
        return super().resolve_command(ctx, args)
