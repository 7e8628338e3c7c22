"""Every decision of the system, as pure machines. START with `machine.py`, then see one at work: `checkpointing.py`.

`jobs` is the life of a job; `checkpoints` what belongs to the coordinator's work; `nodes` who is there, who leads and who has slots; `blobs` what is too
large for messages; `transfer` reliable delivery and flow control; `event_time` watermarks. `supervision.py` is what every parent does when a child fails.
"""
