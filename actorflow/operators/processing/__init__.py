"""Operators that users write as actors: their contract, their timers, and what runs them inside a chain."""
