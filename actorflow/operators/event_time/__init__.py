"""Event time of records, and the watermarks that follow from it."""
