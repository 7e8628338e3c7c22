"""What holds for all tests: how long an example takes says how busy the machine is, not whether the code is right."""

import gc

from hypothesis import settings

settings.register_profile("actorflow", deadline=None)
settings.load_profile("actorflow")


def pytest_collection_finish():
    """Look for garbage only among what tests make: thousands of collected tests and their modules live on to the end."""
    gc.collect()
    gc.freeze()
