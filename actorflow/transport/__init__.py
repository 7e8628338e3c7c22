"""Actors and channels across processes. Home of pyzmq."""
