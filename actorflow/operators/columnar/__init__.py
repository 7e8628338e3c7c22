"""Operators on batches of columns, and the way from records to columns and back."""
