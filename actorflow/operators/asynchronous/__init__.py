"""Coroutine functions of the user, for many records at the same time."""
