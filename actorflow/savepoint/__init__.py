"""Savepoints: the state of a job as open files, which belong to who asked for them.

declared.py       which states an operator declares
inference.py      the type of values whose type nobody has declared
arrow_types.py    types as Arrow columns
columns.py        values as columns, and back
layouts.py        states as tables, and back: what a row is
files.py          Parquet files and the manifest
opening.py        savepoints and retained checkpoints
matching.py       what belongs to which operator of another job
"""
