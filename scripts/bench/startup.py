"""Start-up: `import actorflow`, and from the call of `af.run` to the first record that reaches a sink on two slot processes.

Every run is a fresh Python process, as a user's is. The floor of the first is the import of asyncio, that of the second a
`multiprocessing` pool of two (start method spawn) up to its first result: two fresh interpreters and one function call.
"""

from __future__ import annotations

import subprocess
import sys

from harness import Benchmark, Target

IMPORT = "import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"

EMBEDDED = """
import os, time
import actorflow as af

class FirstRecord(af.Sink):
    def open(self, ctx): return FirstWriter()

class FirstWriter:
    seen = False
    def write(self, batch):
        if not self.seen: os.write(1, f"{time.monotonic()}\\n".encode())  # in one piece: two processes write here
        self.seen = True
    def flush(self): pass
    def close(self): pass

pipeline = af.Pipeline("startup", parallelism=2)
pipeline.read(af.sources.collection(range(1000))).key_by(lambda n: n).count().write(FirstRecord())
print(time.monotonic(), flush=True)
af.run(pipeline, slots=2)
"""

POOL = """
import multiprocessing, time
if __name__ == "__main__":
    print(time.monotonic(), flush=True)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        next(pool.imap_unordered(abs, range(1000)))
        print(time.monotonic(), flush=True)
"""


def import_ms(module: str) -> float:
    """Return how long a fresh interpreter takes to import a module."""
    return float(_output([sys.executable, "-c", IMPORT.format(module=module)])[0]) * 1000


def first_record_s(program: str) -> float:
    """Run a program that prints the clock at its start and at each process's first record; return start to first."""
    start, *first = map(float, _output([sys.executable, "-c", program]))
    return min(first) - start


def _output(command: list[str]) -> list[str]:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def main() -> None:
    bench = Benchmark("startup", __doc__)
    bench.compare(
        "import",
        "ms",
        {"actorflow": lambda: import_ms("actorflow"), "asyncio": lambda: import_ms("asyncio")},
        floor="asyncio",
        targets=[Target("actorflow", at_most=150)],
    )
    bench.compare(
        "call to first record out, two slots",
        "s",
        {"af.run": lambda: first_record_s(EMBEDDED), "multiprocessing pool": lambda: first_record_s(POOL)},
        floor="multiprocessing pool",
        targets=[Target("af.run", at_most=1.0)],
    )
    bench.finish()


if __name__ == "__main__":
    main()
