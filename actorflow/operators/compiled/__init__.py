"""Generated loops: what runs for each record of simple operators and keyed aggregations."""
