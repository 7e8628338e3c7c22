"""The subtask actor, what feeds it, and what it shows. READ `subtask` FIRST."""
