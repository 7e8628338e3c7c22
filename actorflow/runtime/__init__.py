"""The actors of a cluster: dispatcher, JobMaster, TaskManager, slot worker, subtask."""
