"""Messages each once and in order, and data only as fast as it is taken."""
