"""The TaskManager's side: TaskManagers, their slot workers, and how a deployment becomes subtasks."""
