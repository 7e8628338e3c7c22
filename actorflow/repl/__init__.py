"""The shell: a living cluster at a Python prompt. Home of IPython, which the extra `shell` installs. Start at `shell`."""
