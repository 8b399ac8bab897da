"""What a pass has to write: expected objects against those that are there, less what has to wait."""

from resilientslice.applying.difference import Difference, difference_of
from resilientslice.applying.expected import Expected
from resilientslice.controller.rendered import configuration_id
from resilientslice.controller.slice_state import Pass, SliceState
from resilientslice.kube.cache import Children
from resilientslice.kube.children import ChildId
from resilientslice.kube.kinds import CONTROLLER_REVISION, DEPLOYMENT, STATEFUL_SET, SliceKey
from resilientslice.planning.desired import Desired
from resilientslice.planning.observed import Envoys, Proxies
from resilientslice.render.names import proxy_name
from resilientslice.rollouts.scheduler import ProxyRollouts


class Comparing:
    def __init__(self, children: Children, rollouts: ProxyRollouts) -> None:
        self._children = children
        self._rollouts = rollouts

    def compare(self, at: Pass, expected: dict[ChildId, Expected], desired: Desired, seen: Envoys) -> Difference:
        """What is to be written so that the slice's objects are as expected; `seen` of its Envoys. The slice's state
        learns what this says of its objects: strangers, rivals, refusals that still hold."""
        key, state, now = at.key, at.state, at.now
        applied, children = state.applied, self._children.of(key)
        applied.contests = applied.contests.of_children(expected)
        withheld = _withheld(state, desired, seen.proxies)
        withheld |= applied.withheld({child: entry.digest for child, entry in expected.items()}, now)
        withheld |= self._waiting(key, state, expected, withheld)
        shapes = applied.expected_shapes(children, now)
        found = difference_of(expected, children, state.uid, as_applied=shapes, held=withheld)
        if applied.overwritten(found.changes):
            state.rivalry.note(now)
        applied.foreign = found.strangers
        revisions = {child for child in applied.refusals if child[0] == CONTROLLER_REVISION.kind}
        tried = {*withheld, *(change.id for change in found.changes)}
        applied.keep_refusals(revisions | (tried & expected.keys()))
        return found

    def _waiting(
        self, key: SliceKey, state: SliceState, expected: dict[ChildId, Expected], withheld: set[ChildId]
    ) -> set[ChildId]:
        """The proxies, while a new operator's version of them waits for a slot."""
        proxies = (DEPLOYMENT.kind, proxy_name(key.name))
        if proxies in withheld or proxies not in expected:
            self.leave_line(key, state)
            return set()
        found = self._rollouts.look(key, expected[proxies])
        state.again, state.queued = state.again or found != state.queued, found
        return {proxies} if found else set()

    def leave_line(self, key: SliceKey, state: SliceState) -> None:
        """Give up the place of the slice's proxies among those that wait to be rolled out."""
        state.queued = None
        self._rollouts.leave(key)


def _withheld(state: SliceState, desired: Desired, proxies: Proxies) -> set[ChildId]:
    """A configuration that Envoys reject and none runs is not stored for the next one to start from; and a store
    without its credentials is not started. The proxies themselves are never withheld: another version of them may
    accept it."""
    found, digest = set[ChildId](), desired.envoy.digest
    if proxies.refusing(digest) and not proxies.running(digest):
        found.add(configuration_id(desired.slice_.name))
    return found | {(STATEFUL_SET.kind, name) for name in state.stores.unready(desired.slice_)}
