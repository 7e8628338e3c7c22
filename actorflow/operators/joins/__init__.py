"""Joins: operators of two inputs that bring records of equal keys together.

interval.py   by event time: the other record is at most so much earlier or later
as_of.py      by event time: the latest record of the other stream at the time of this one
unbounded.py  by key alone, for as long as records are kept
in_windows.py by key and window
lookup.py     with what a function of the user's finds for a key
specs.py      the specs of those that are operators of their own

All but the lookup are composed of what users have themselves: `TwoInputOperator`, keyed state, timers, windows.
"""
