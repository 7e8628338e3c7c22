"""The simulator: the second interpreter of machines, with seeded faults and invariants."""
