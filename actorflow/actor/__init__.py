"""The actor system: dispatchers, mailboxes, refs, supervision, the tree. Home of pykka."""
