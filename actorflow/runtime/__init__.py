"""The actors of a cluster, which do what the machines of `protocol` decide.

`jobs` is the JobManager's side: Dispatcher, ResourceManager, JobMasters; `workers` the TaskManager's: slot workers, and what they build. `subtasks` is the data loop,
`channels` what is between two of them, `checkpoints` their part in checkpoints, `blobs` how files and code get there. `messages` has all that travels.
"""
