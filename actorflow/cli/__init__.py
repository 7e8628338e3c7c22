"""The command `actorflow`: a thin face of the library. Every command can also be written in a few lines of Python."""
