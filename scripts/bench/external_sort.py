"""Sorting by key with bounded memory: as batch mode sorts the input of keyed operators.

    scripts/bench/external_sort.py [--quick] [--memory-mb 256] [--gb 2] [--record-bytes 1000] [--directory DIR]

Each sort runs in a process of its own, which reports the highest resident memory it ever had (the interpreter and the code included).
Records are `(key, number, text)` with random keys; what comes out is checked against what `sorted` would give: keys in order, records of a
key in the order of their numbers, and none lost or doubled. The floor is `sorted` over a list of as many records as fit into memory easily.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import Benchmark, Target, seconds

from actorflow.storage.external_sort import ExternalSort
from actorflow.storage.spill_file import SpillFile
from actorflow.wire.batch import ObjectBatch

BATCH_RECORDS = 1024
KEYS = 1_000_000
FLOOR_RECORDS = 200_000


def batches(count, record_bytes):
    """Give batches of records of about `record_bytes`; every text is one of its own."""
    chance = random.Random(7)
    for start in range(0, count, BATCH_RECORDS):
        numbers = range(start, min(count, start + BATCH_RECORDS))
        yield [
            (f"key {chance.randrange(KEYS)}", number, chance.randbytes(max(1, (record_bytes - 40) // 2)).hex())
            for number in numbers
        ]


def checked(sort):
    """Take everything out of a sorter; return how many records came, and the sum of their numbers."""
    count = total = 0
    last = ("", -1)
    for rows in iter(sort.take, None):
        for record in rows.records:
            place = record[:2]
            assert last < place, f"{place} behind {last}"
            last = place
        count += len(rows)
        total += sum(record[1] for record in rows.records)
    return count, total


def sort_here(count, record_bytes, memory_bytes, directory):
    """Sort in this process; print what was measured as JSON."""
    base = resident_mb()
    sort = ExternalSort(lambda: SpillFile(directory, "the benchmark"), memory_bytes)
    making = seconds(lambda: [None for _ in batches(count, record_bytes)])
    result = []

    def work():
        for records in batches(count, record_bytes):
            sort.add(ObjectBatch(records), [record[0] for record in records])
            while sort.work():
                pass
        sort.finish()
        while sort.work():
            pass
        result.extend(checked(sort))

    duration = seconds(work) - making
    assert result == [count, count * (count - 1) // 2], "records were lost or doubled"
    print(json.dumps({"records/s": count / duration, "MB": resident_mb(), "base": base, "spilled": sort.spilled_bytes}))


def resident_mb():
    """Return the most memory this process had, in MB; what `getrusage` says includes the process that it was forked from."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def sort_in_a_process(count, record_bytes, memory_mb, directory):
    """Sort in another process; return what it measured."""
    command = [sys.executable, __file__, "--here", str(count), str(record_bytes), str(memory_mb << 20), directory]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def sort_list(record_bytes):
    records = [record for batch in batches(FLOOR_RECORDS, record_bytes) for record in batch]
    return FLOOR_RECORDS / seconds(lambda: sorted(records, key=lambda record: record[0]))


def main():
    if sys.argv[1:2] == ["--here"]:
        count, record_bytes, memory_bytes = map(int, sys.argv[2:5])
        sort_here(count, record_bytes, memory_bytes, sys.argv[5])
        return
    arguments = argparse.ArgumentParser(add_help=False)
    arguments.add_argument("--memory-mb", type=int, default=256, help="what the sort may use")
    arguments.add_argument("--gb", type=float, default=2.0, help="how much is sorted, in GB of encoded records")
    arguments.add_argument("--record-bytes", type=int, nargs="+", default=[1000, 100], help="size of a record")
    arguments.add_argument("--directory", default=tempfile.gettempdir(), help="where to spill")
    bench = Benchmark("external_sort", __doc__, arguments)
    options = bench.options
    for record_bytes in options.record_bytes:
        count = bench.size(int(options.gb * 1e9) // record_bytes, quick=20_000_000 // record_bytes)
        memory_mb = bench.size(options.memory_mb, quick=16)
        title = f"{count * record_bytes / 1e9:g} GB of {record_bytes}-byte records in {memory_mb} MB"
        memory = []

        def external(count=count, record_bytes=record_bytes, memory_mb=memory_mb, memory=memory):
            facts = sort_in_a_process(count, record_bytes, memory_mb, options.directory)
            memory.append(facts)
            return facts["records/s"]

        bench.compare(
            title,
            "records/s",
            {"sorted, in memory": lambda record_bytes=record_bytes: sort_list(record_bytes), "external sort": external},
            floor="sorted, in memory",
            rounds=1,
        )
        figures = {
            "resident, highest": max(facts["MB"] for facts in memory),
            "of which before the sort": memory[0]["base"],
            "written to disk": memory[0]["spilled"] / (1 << 20),
        }
        target = [] if bench.quick else [Target("resident, highest", at_most=memory_mb)]
        bench.figures(f"memory: {title}", "MB", figures, targets=target)
    bench.finish()


if __name__ == "__main__":
    main()
