"""What a pass is given to work with, and what it has to be: the seam between the process and the work."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry

from resilientslice.kube.cache import Children
from resilientslice.kube.client import KubeClient
from resilientslice.kube.kinds import SliceKey
from resilientslice.kube.lease import LeaseElection
from resilientslice.kube.slices import Slices
from resilientslice.operating.settings import OperatorSettings
from resilientslice.workqueue.queue import Result, Wake


@dataclass(frozen=True, slots=True)
class World:
    """`client` writes only while this process leads; a push asks `election.check` right before.

    `wake` has a slice processed again.
    """

    settings: OperatorSettings
    client: KubeClient
    slices: Slices
    children: Children
    election: LeaseElection
    wake: Wake[SliceKey]
    registry: CollectorRegistry
    """For numbers of one's own."""


class Reconciler(Protocol):
    """One pass. Called for one key at a time. What it raises is tried again, after `retry_after` if that is given."""

    async def reconcile(self, key: SliceKey) -> Result: ...


Build = Callable[[World], AbstractAsyncContextManager[Reconciler]]
"""Makes the reconciler when this process comes to lead, and cleans up after it."""
