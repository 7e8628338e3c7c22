"""The keyword options that every verb takes: `stream.map(fn, name="clean", parallelism=4)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypedDict, get_args

from actorflow.errors import PlanError
from actorflow.plan.graph import ChainPolicy, DispatcherKind
from actorflow.plan.identity import check_name
from actorflow.plan.parallelism import check_max_parallelism, check_parallelism
from actorflow.plan.suggest import nearest


class OperatorOptions(TypedDict, total=False):
    """What may follow a verb's own arguments.

    Keys:
        name: for people: in the plan, actor paths, reports. Default: the verb.
        uid: identity of the operator's state. Give one to whatever has state that must survive changes of the pipeline.
        parallelism: number of subtasks. Default: the pipeline's.
        max_parallelism: number of key groups. Default: the pipeline's.
        slot_group: operators of different groups never share a slot.
        chain: `always` runs it with its producer when possible, `head` starts a chain, `never` keeps it alone.
        dispatcher: `pinned` gives each subtask a thread of its own, for functions that block.
    """

    name: str
    uid: str
    parallelism: int
    max_parallelism: int
    slot_group: str
    chain: ChainPolicy
    dispatcher: DispatcherKind


@dataclass(frozen=True, slots=True)
class Options:
    """`OperatorOptions` with every key present and every value checked."""

    name: str | None = None
    uid: str | None = None
    parallelism: int | None = None
    max_parallelism: int | None = None
    slot_group: str = "default"
    chain: ChainPolicy = "always"
    dispatcher: DispatcherKind = "default"

    @classmethod
    def of(cls, verb: str, given: Mapping[str, Any], own: Sequence[str] = ()) -> Options:
        """Return the options that were given to a verb.

        Args:
            verb: its name, for errors.
            given: its keyword options.
            own: the verb's own keywords, which may have been meant.

        Raises:
            TypeError: if a keyword is unknown; the nearest one is named.
            PlanError: if a value is not possible.
        """
        known = [*own, *(field.name for field in fields(cls))]
        for keyword in given:
            if keyword not in known:
                raise TypeError(f"{verb}() got an unexpected keyword argument '{keyword}' (hint: {nearest(keyword, known)})")
        options = cls(**given)
        options._check(verb)
        return options

    def _check(self, verb: str) -> None:
        for field in ("name", "uid"):
            if getattr(self, field) is not None:
                check_name(f"{field} of {verb}()", getattr(self, field))
        check_name(f"slot_group of {verb}()", self.slot_group)
        subject = verb if self.name is None else f"'{self.name}'"
        if self.max_parallelism is not None:
            check_max_parallelism(subject, check_whole("max_parallelism", self.max_parallelism))
        if self.parallelism is not None:
            # Without a max_parallelism here the pipeline's holds; planning compares with that one.
            most = max(1, check_whole("parallelism", self.parallelism)) if self.max_parallelism is None else self.max_parallelism
            check_parallelism(subject, self.parallelism, most)
        check_choice(f"chain of {subject}", self.chain, get_args(ChainPolicy))
        check_choice(f"dispatcher of {subject}", self.dispatcher, get_args(DispatcherKind))


def check_whole(what: str, value: object) -> int:
    """Return `value` if it is a whole number.

    Raises:
        PlanError: if it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise PlanError(f"{what} must be a whole number, not {type(value).__name__}: {value!r}")
    return value


def check_choice(what: str, value: object, valid: Sequence[str]) -> None:
    """Check that `value` is one of some words.

    Raises:
        PlanError: if it is not; the nearest one is named.
    """
    if value not in valid:
        raise PlanError(f"{what} cannot be {value!r}", hint=nearest(str(value), valid))
