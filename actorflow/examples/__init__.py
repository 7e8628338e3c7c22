"""Example pipelines. Each module builds a pipeline with `build(…)` and runs it with `main(…)`; `actorflow example` calls the latter."""

from __future__ import annotations

import importlib
import pkgutil


def summaries() -> dict[str, str]:
    """Return the first line of each example's docstring, by its name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    documentation = {name: importlib.import_module(f"{__name__}.{name}").__doc__ or "" for name in names}
    return {name: text.partition("\n")[0] for name, text in documentation.items()}
