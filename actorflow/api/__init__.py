"""What users write: pipelines, streams and their verbs. Building is data: nothing here can run anything.

pipeline.py   where a pipeline begins              builder.py    operators as they are added
stream.py     the verbs of a stream                keyed.py      the verbs of a stream by key
connected.py  two streams that one operator reads  joining.py    the joins of two streams by key
options.py    the keyword options of every verb    arguments.py  what is accepted as a function, a key, a source, ...
tag.py        names of side outputs                retry.py      when an asynchronous call is tried again
submission.py the last checks, and the bytes to send
"""
