"""What each node knows of itself, and tells who asks: its process, its connections, its log."""
