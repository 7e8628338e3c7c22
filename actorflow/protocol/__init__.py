"""Every decision of the system, as pure machines. START with `machine.py`."""
