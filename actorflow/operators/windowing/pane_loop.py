"""The loop that adds a batch of records, all of one pane, to the accumulators of their keys. Generated like those of chains.

    count()                    def chain(records, state1):
                                   get1 = state1.get
                                   for v0 in records:
                                       k1 = v0[0]
                                       s1 = get1(k1, 0) + 1
                                       state1[k1] = s1

The table is an argument, because each pane has its own.
"""

from __future__ import annotations

from actorflow.operators.compiled.codegen import Loop, LoopWriter
from actorflow.operators.specs import KeyedSpec


def generate_update(title: str, spec: KeyedSpec) -> Loop:
    """Return the loop of an aggregation: `run(records, table)` changes the table, from key to accumulator.

    Args:
        title: names it in tracebacks.
        spec: the aggregation, with its key.
    """
    writer = LoopWriter([], [])
    writer.line("get1 = state1.get")
    record = writer.header(0)
    writer.fold(1, spec, writer.key(1, spec.key, record), "state1", "get1")
    return writer.compiled(title, "records", "state1")
