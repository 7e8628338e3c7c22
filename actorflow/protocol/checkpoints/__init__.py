"""What belongs to checkpoints beside their coordinator, `protocol.checkpointing`."""
