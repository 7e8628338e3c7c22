"""Keyed state: what the user declares, and the backends that hold it."""
