"""The life of a job: its runs, regions, attempts and workers, and what its JobMaster says and hears."""
