"""The compiled loop of one keyed aggregation that only updates its state: what comes of it is asked for later."""

from __future__ import annotations

from typing import Any

from actorflow.operators.compiled.codegen import FusedOperator, Loop, generate, loop_failure
from actorflow.operators.specs import KeyedSpec
from actorflow.state.backend import KeyedBackend


class KeyedLoop:
    """Updates the accumulators of an aggregation.

    Args:
        name: the operator's name.
        spec: the aggregation.
        backend: keeps the accumulators, as the state named like the operator's kind.
        subtask: for reports.
    """

    def __init__(self, name: str, spec: KeyedSpec, backend: KeyedBackend, *, subtask: str) -> None:
        self._name = name
        self._operator = FusedOperator(name, spec, backend)
        self._subtask = subtask
        self._loop: Loop | None = None

    def run(self, records: list[Any]) -> None:
        """Take in some records.

        Raises:
            UserFunctionError: if a function of the user raised; it names operator, record and key.
        """
        if self._loop is None:
            self._loop = generate(f"final {self._name}", [self._operator], [False], timed=False, final=True)
        try:
            self._loop.run(records, None)
        except BaseException as error:
            failure = loop_failure(error, self._loop, ("input", self._name), self._subtask)
            if failure is error:
                raise
            raise failure from error
