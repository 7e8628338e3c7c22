"""Every option once: its name, type, default and unit; and how values are loaded and checked.

options/      the declarations, by subject: read here what can be set
kinds.py      how values of a kind are read and shown     values.py   durations and sizes
load.py       `Config` and its layers                     document.py YAML and mappings as entries with places
rules.py      what is impossible together                 explain.py  values with origins, and the reference page
"""

from actorflow.config.load import Config, from_assignments, from_environment, layered, load, merged, overrides, read_file
from actorflow.config.option import Option
from actorflow.config.values import Duration, Size, duration_ms, duration_s, memory_bytes

__all__ = [
    "Config",
    "Duration",
    "Option",
    "Size",
    "duration_ms",
    "duration_s",
    "from_assignments",
    "from_environment",
    "layered",
    "load",
    "memory_bytes",
    "merged",
    "overrides",
    "read_file",
]
