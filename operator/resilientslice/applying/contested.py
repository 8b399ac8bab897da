"""What is applied of an object whose fields others set, too: everything but the fields that are left to them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resilientslice.applying.retakes import Contests
from resilientslice.kube.children import MANAGER, ChildId
from resilientslice.kube.ownership import Ownership, owner_of, written


@dataclass(frozen=True, slots=True)
class TakingBack:
    """`wanted`: what is to be applied. `taken`: fields that are taken back with it, and who has them now. `left`:
    fields that are left out of it, which keep the value that their owner gave them; the object keeps them.
    """

    wanted: Any
    contests: Contests
    taken: tuple[tuple[str, str], ...]
    left: frozenset[str]


def take_back(
    contests: Contests, child: ChildId, live: Mapping[str, Any], wanted: Mapping[str, Any], now: float, *, drift: bool
) -> TakingBack:
    """`live` is the object as it is. `drift`: nothing else is to change, so whatever is lost was taken by others."""
    owned = Ownership.of(live, wanted, MANAGER)
    wishes = owned.wishes()
    contests = contests.without(child, contests.about(child) - wishes.keys())
    contests = contests.without(child, _given_up(contests, child, live, owned))
    fields = contests.left(child, wishes, now)
    left = owned.left_out(fields)
    taken = tuple((written(path), owner_of(live, path, MANAGER)) for path in owned.lost() if path not in left)
    counted = taken if drift else tuple(lost for lost in taken if lost[0] in contests.about(child))
    return TakingBack(
        wanted=owned.without(left) if left else wanted,
        contests=contests.retaken(child, counted, now, wishes),
        taken=taken,
        left=fields if left else frozenset(),
    )


def _given_up(contests: Contests, child: ChildId, live: Mapping[str, Any], owned: Ownership) -> frozenset[str]:
    """Contested fields without an owner now. Where there never was one, the removal is the contest."""
    held = {name for name in contests.about(child) if contests.of[child, name].manager}
    return frozenset(written(path) for path in owned.unowned(held) if not owner_of(live, path, MANAGER))
