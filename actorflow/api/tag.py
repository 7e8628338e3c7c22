"""Names of side outputs."""

from __future__ import annotations

from dataclasses import dataclass

from actorflow.plan.identity import check_name


@dataclass(frozen=True, slots=True)
class Tag:
    """A side output: `ctx.emit_to(tag, record)` puts records in, `stream.side_output(tag)` reads them. Tags of one name are equal.

    Attributes:
        name: its name; two operators may use the same.
    """

    name: str

    def __post_init__(self) -> None:
        check_name("the name of a tag", self.name)
