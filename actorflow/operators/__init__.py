"""What runs inside a subtask: compiled chains of operators."""
