"""What holds for all tests: how long an example takes says how busy the machine is, not whether the code is right."""

from hypothesis import settings

settings.register_profile("actorflow", deadline=None)
settings.load_profile("actorflow")
