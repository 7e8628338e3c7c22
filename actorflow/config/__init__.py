"""Every option once: its name, type, default and unit; and how values are loaded and checked."""
