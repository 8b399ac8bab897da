"""The operator's side of the agents: hands configurations to all Envoys of a slice, and gathers what they say.

One `Fleet` serves every slice. It decides nothing: `set_members` says whom to ask, what to do about the answers
is the plan's business.
"""

from resilientslice.agent.signing import SigningKeys, UnusableKeyError
from resilientslice.envoys.merge import FleetView
from resilientslice.envoys.pool import Fleet, new_key
from resilientslice.envoys.reports import (
    Accepted,
    AgentPod,
    Epoch,
    Outcome,
    PushReport,
    Rejected,
    SliceKey,
    Stale,
    Unanswered,
    Unreachable,
)

__all__ = [
    "Accepted",
    "AgentPod",
    "Epoch",
    "Fleet",
    "FleetView",
    "Outcome",
    "PushReport",
    "Rejected",
    "SigningKeys",
    "SliceKey",
    "Stale",
    "Unanswered",
    "Unreachable",
    "UnusableKeyError",
    "new_key",
]
