"""What is to run: the graph as the user built it, and the subtasks and channels it becomes. Pure, immutable data."""
