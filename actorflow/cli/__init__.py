"""The `actorflow` command. Home of typer and rich."""
