"""Watermarks: merged over channels, kept for each split, aligned between sources."""
