"""A subtask's part in checkpoints and savepoints: barriers, snapshots, layers, and the way back."""
