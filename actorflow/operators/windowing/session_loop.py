"""The loop that adds a batch of records to the sessions of their keys. Most go into a session that is there; the others are placed.

    def chain(records, timestamps, state1, place, live):
        get1 = state1.get
        for v0, t in zip(records, timestamps, strict=True):
            k1 = v0[0]
            held = get1(k1)
            if held is not None:
                at = -1
                start, end, due, h1 = held[-1]
                if t < start:
                    at = bisect(held, (t + 1,)) - 1
                    start, end, due, h1 = held[at]
                if start <= t <= end > live:
                    g = t + 30000
                    if g < end:
                        g = end
                    if at < 0 or g < held[at + 1][0]:
                        h1 = h1 + 1
                        held[at] = (start, g, due, h1)
                        continue
            place(k1, v0, t)

A session is `(start, end, due, what it holds)`; see `session_stage`. Mostly it is the last one of its key; where a subtask is sent records of
two places in a file in turn, it is as often an earlier one, which is looked up.
"""

from __future__ import annotations

from bisect import bisect_left

from actorflow.operators.compiled.codegen import Loop, LoopWriter, Site
from actorflow.operators.specs import AggregateSpec, CountSpec, KeyedSpec, MaxSpec, MinSpec, ReduceSpec, Selector, SumSpec
from actorflow.operators.windowing.windows import DynamicSessionWindows, SessionWindows


def generate_sessions(title: str, key: Selector, fold: KeyedSpec | None, windows: SessionWindows | DynamicSessionWindows) -> Loop:
    """Return the loop: `run(records, timestamps, table, place, live)`.

    Args:
        title: names it in tracebacks.
        key: of a record.
        fold: what sessions hold a running value of; None if they hold their records.
        windows: know the gap.
    """
    writer = LoopWriter([], [])
    writer.line("get1 = state1.get")
    writer.line("for v0, t in zip(records, timestamps, strict=True):")
    writer.depth += 1
    site = writer.key(1, key, "v0")
    writer.line(f"held = get1({site.key})", site)
    writer.line("if held is not None:")
    writer.depth += 1
    writer.line("at = -1")
    writer.line("start, end, due, h1 = held[-1]")
    writer.line("if t < start:")
    writer.line(f"    at = {writer.bind('bisect', bisect_left)}(held, (t + 1,)) - 1")
    writer.line("    start, end, due, h1 = held[at]")
    writer.line("if start <= t <= end > live:")
    writer.depth += 1
    if isinstance(windows, SessionWindows):
        writer.line(f"g = t + {windows.gap}")
    else:
        called = Site(1, "v0", site.key, windows.gap_of)
        writer.line(f"g = t + {writer.bind('gap', windows.gap_after)}(v0)", called)
    writer.line("if g < end:")
    writer.line("    g = end")
    writer.line("if at < 0 or g < held[at + 1][0]:")
    writer.depth += 1
    _add(writer, fold, site)
    writer.line("held[at] = (start, g, due, h1)")
    writer.line("continue")
    writer.depth -= 3
    writer.line(f"place({site.key}, v0, t)", site)
    writer.depth -= 1
    return writer.compiled(title, "records", "timestamps", "state1", "place", "live")


def _add(writer: LoopWriter, fold: KeyedSpec | None, site: Site) -> None:
    """Write how a record is added to `h1`."""
    match fold:
        case None:
            writer.line("h1.append(v0)")
        case CountSpec():
            writer.line("h1 = h1 + 1")
        case SumSpec():
            value, called = writer.value(1, fold.value, site, "v0")
            writer.line(f"h1 = h1 + {value}", called)
        case MinSpec() | MaxSpec():
            value, called = writer.value(1, fold.value, site, "v0")
            writer.line(f"x1 = {value}", called)
            writer.line(f"if x1 {'<' if isinstance(fold, MinSpec) else '>'} h1:", called)
            writer.line("    h1 = x1")
        case ReduceSpec():
            value, called = writer.call("f1", fold.fn, site, "h1", "v0")
            writer.line(f"h1 = {value}", called)
        case AggregateSpec():
            add = fold.aggregate.add
            writer.line(f"h1 = {writer.bind('add1', add)}(h1, v0)", Site(1, "v0", site.key, add))
        case _:
            raise AssertionError(f"unknown aggregation {fold!r}")
