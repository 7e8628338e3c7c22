"""The JobManager's side: Dispatcher, ResourceManager, JobMasters, and the slow work that they hand to a pool."""
