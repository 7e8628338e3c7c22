"""The options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Define = Annotated[list[str] | None, typer.Option("-D", metavar="NAME=VALUE", help="Set an option; may be repeated.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show the engine's own traceback with an error.")]
ClusterFile = Annotated[
    Path | None,
    typer.Option("--cluster", metavar="FILE", help="The cluster's configuration. Default: what ACTORFLOW_CONFIG names."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
