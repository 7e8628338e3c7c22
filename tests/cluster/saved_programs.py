"""Jobs of which savepoints are taken: their operators have names of their own, and their sources give at a rate, so that there is time for it."""

from timed_programs import timed

import actorflow as af

RECORDS, KEYS = 3000, 17


def counting(out, *, parallelism=1, uid=None, records=RECORDS, **config):
    pipeline = af.Pipeline("counting", parallelism=parallelism, config=config)
    numbers = pipeline.read(af.sources.generator(count=records, rate=4000.0), uid="numbers")
    numbers.key_by(lambda number: number % KEYS).count(uid=uid).write(af.sinks.json_lines(str(out)), uid="out")
    return pipeline


def everything(out, *, parallelism, backend, rate=4000.0):
    """Windows, sessions and timers, calls in flight, keyed and other state, behind a source whose splits depend on the parallelism."""
    config = {"state.backend.type": backend, "pipeline.auto-watermark-interval": 0}
    pipeline = af.Pipeline("everything", parallelism=parallelism, config=config)
    numbers = pipeline.read(af.sources.generator(count=RECORDS, rate=rate)).map_async(same)
    timed(numbers, KEYS, out.parent).write(af.sinks.json_lines(str(out)))
    return pipeline


async def same(number):
    return number
