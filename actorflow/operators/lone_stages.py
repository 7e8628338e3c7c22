"""Operators that are a stage of their own: the stage for each kind."""

from __future__ import annotations

from actorflow.errors import PlanError
from actorflow.operators.columnar.batches import MapBatchesStage
from actorflow.operators.compiled.finals import FinalStage
from actorflow.operators.event_time.timestamps import TimestampStage
from actorflow.operators.event_time.watermarks import TimestampSpec
from actorflow.operators.place import Place
from actorflow.operators.processing.process import ProcessStage
from actorflow.operators.processing.two_inputs import BroadcastProcessStage, CoMapStage, CoProcessStage
from actorflow.operators.specs import (
    BroadcastProcessSpec,
    CoFlatMapSpec,
    CoMapSpec,
    CoProcessSpec,
    KeyedSpec,
    MapAsyncSpec,
    MapBatchesSpec,
    ProcessSpec,
)
from actorflow.operators.stage import Stage
from actorflow.operators.windowing.pane_stage import PaneStage
from actorflow.operators.windowing.session_stage import SessionStage
from actorflow.operators.windowing.window_specs import WindowSpec
from actorflow.operators.windowing.window_stage import WindowStage
from actorflow.plan.graph import OperatorSpec


def lone_stage(spec: OperatorSpec, place: Place) -> Stage:
    """Return the stage that runs one operator.

    Args:
        spec: what it does.
        place: where it stands.

    Raises:
        PlanError: if it is not a transform that can run here.
    """
    name, following, context = place.name, place.following, place.context
    subtask = str(context.subtask)
    match spec:
        case ProcessSpec():
            return ProcessStage(place, spec)
        case KeyedSpec():
            return FinalStage(name, spec, place.backend(), following, subtask=subtask)
        case CoProcessSpec():
            return CoProcessStage(place, spec)
        case BroadcastProcessSpec():
            return BroadcastProcessStage(place, spec)
        case CoMapSpec() | CoFlatMapSpec():
            return CoMapStage(name, spec, following, subtask=subtask)
        case MapBatchesSpec():
            return MapBatchesStage(name, spec, following, subtask=subtask)
        case MapAsyncSpec():
            from actorflow.operators.asynchronous.stage import MapAsyncStage  # brings asyncio, which few chains need

            return MapAsyncStage(name, spec, following, context, place.held)
        case WindowSpec():
            windows = PaneStage if spec.in_panes else SessionStage if spec.in_sessions else WindowStage
            return windows(place, spec)
        case TimestampSpec():
            return TimestampStage(name, spec, following, context)
        case _:
            raise PlanError(f"'{name}' ({spec.kind}) cannot run inside a chain")
