"""Pipelines to run and to read."""
