"""The actor system: dispatchers, mailboxes, references, supervision, the tree. Home of pykka.

Start at `cell` (what an actor is to the runtime), then `dispatcher` (who runs it, and why no wake-up is lost), then `lifecycle`
(how it begins, fails and ends). `system` holds it all together; `shell` runs machines.
"""

from pykka import ActorDeadError
from pykka import Timeout as AskTimeout

from actorflow.actor.actor import Actor, LightActor
from actorflow.actor.context import ActorContext
from actorflow.actor.dead_letters import DeadLetter
from actorflow.actor.inspection import MailboxView, StoryEntry, StoryLine, TreeRow
from actorflow.actor.io import Io, SelectorIo
from actorflow.actor.ref import ActorRef
from actorflow.actor.router import Router
from actorflow.actor.shell import MachineActor
from actorflow.actor.simulated import SimulatedDispatcher
from actorflow.actor.switching import prompt_switches
from actorflow.actor.system import ActorSystem
from actorflow.protocol.supervision import Directive, Supervise

__all__ = [
    "Actor",
    "ActorContext",
    "ActorDeadError",
    "ActorRef",
    "ActorSystem",
    "AskTimeout",
    "DeadLetter",
    "Directive",
    "Io",
    "LightActor",
    "MachineActor",
    "MailboxView",
    "Router",
    "SelectorIo",
    "SimulatedDispatcher",
    "StoryEntry",
    "StoryLine",
    "Supervise",
    "TreeRow",
    "prompt_switches",
]
