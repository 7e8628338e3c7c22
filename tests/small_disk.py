"""A disk of a few pages that fills up: a file system in memory, mounted for a test."""

import subprocess
import sys
from contextlib import contextmanager

import pytest


@contextmanager
def small_disk(directory, size="64k"):
    """Mount one at `directory`, which is made; skip where only root of a Linux machine could."""
    directory.mkdir(parents=True)
    if not sys.platform.startswith("linux"):
        pytest.skip("no small disk: tmpfs is Linux's")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "small", directory], check=False, capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk: mounting one needs root and the right to mount: {mounted.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)
