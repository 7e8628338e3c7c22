"""Keyed state in RocksDB, on local disks: for state that is larger than memory.

    handles, tables ──► cached_table: some values, as Python objects ──► store: all values, as rows of bytes
                                                                           │
    timers ──► the next ones in memory, the others in the store         memory: shared by all states of a worker

`layout` says what stands in the rows.
"""
