"""The agents of one slice, as a pass needs them: which pods they run in, and when their key is replaced."""

from dataclasses import dataclass

from resilientslice.api.slice import ResilientSlice
from resilientslice.controller.slice_state import Pass, SliceState
from resilientslice.envoys.key_rotation import ROTATE_ANNOTATION
from resilientslice.envoys.pods import envoys
from resilientslice.envoys.port import Agents
from resilientslice.kube.cache import Children
from resilientslice.kube.kinds import Object, SliceKey


@dataclass(frozen=True, slots=True)
class AgentAccess:
    agents: Agents
    children: Children

    async def follow(self, key: SliceKey, raw: Object, state: SliceState, slice_: ResilientSlice) -> None:
        """Raises UnusableKeyError when the slice's agents can't be spoken to."""
        if not slice_.spec.suspend:
            await self.agents.follow(key, envoys(key, state.uid, self.children), slice_, _rotation(raw))

    async def rotate_key_if_due(self, at: Pass) -> None:
        news, reported = await self.agents.tend_key(at.key, at.slice_, _rotation(at.raw), at.now), at.state.reported
        reported.events, at.state.key_due = (*reported.events, *news.events), news.deadline

    def look_again(self, key: SliceKey) -> None:
        self.agents.look_again(key)

    def forget(self, key: SliceKey) -> None:
        self.agents.forget(key)


def _rotation(raw: Object) -> str:
    """What asks for another key of the agents."""
    return str((raw["metadata"].get("annotations") or {}).get(ROTATE_ANNOTATION, ""))
