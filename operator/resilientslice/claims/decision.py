"""Whose slice it is: the claim of one installation of the operator, which another one respects. See ADR 0022. Pure.

An installation is known by its Lease, as `NAMESPACE/NAME`. Its claim is an annotation of the ConfigMap with the slice's
state, made by a field manager of its own: whatever renders that ConfigMap, also an older operator, leaves it alone.
"""

import re
from dataclasses import dataclass
from enum import Enum

from resilientslice.api.reasons import Reason
from resilientslice.kube.children import Child
from resilientslice.planning.observed import Trouble, TroubleKind
from resilientslice.render.names import DOMAIN, state_name

INSTALLATION_ANNOTATION = f"{DOMAIN}/installation"
"""Who looks after the slice."""
CONTENDER_ANNOTATION = f"{DOMAIN}/contender"
"""Who would, too, and has found the claim of another one."""
CLAIM_MANAGER = "resilientslice-claim"
CONTENDER_MANAGER = "resilientslice-contender"
UNKNOWN = "another operator"
"""One that makes no claims."""

LOOK_SECONDS = 20.0
"""Between two looks at the Lease of another installation."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


class Claimed(Enum):
    """By whom a slice is claimed, as seen by one installation."""

    NOT_THERE = "NotThere"
    """There is nothing yet that a claim could be made on."""
    NOT_OURS = "NotOurs"
    """What has its name belongs to someone else, or to a slice that is gone."""
    BY_NOBODY = "ByNobody"
    BY_US = "ByUs"
    BY_ANOTHER = "ByAnother"


@dataclass(frozen=True, slots=True)
class Place:
    """The Lease of an installation."""

    namespace: str
    name: str

    @classmethod
    def of(cls, installation: str) -> "Place | None":
        """None for what can be nobody's name."""
        namespace, _, name = installation.partition("/")
        return cls(namespace, name) if _NAME.fullmatch(namespace) and _NAME.fullmatch(name) else None


def claimed(state: Child | None, uid: str, installation: str) -> Claimed:
    """`state`: the ConfigMap with the state of the slice with that UID."""
    if state is None:
        return Claimed.NOT_THERE
    if state.owner_uid != uid or state.deleting:
        return Claimed.NOT_OURS
    holder = state.annotations.get(INSTALLATION_ANNOTATION, "")
    if Place.of(holder) is None:
        return Claimed.BY_NOBODY
    return Claimed.BY_US if holder == installation else Claimed.BY_ANOTHER


def managed_by_another(slice_name: str, holder: str, ours: str, unreadable: str) -> str:
    """What the one that stands back says. `unreadable`: why it can't tell whether the holder lives."""
    said = (
        f"The operator whose Lease is {holder} manages this slice; the one whose Lease is {ours} changes nothing. Let "
        "only one of them watch this namespace."
    )
    if not unreadable:
        return f"{said} Should the first one's Lease run out, the other one takes over."
    return (
        f"{said} Whether the first one lives can't be told ({unreadable}). If it doesn't, remove the annotation "
        f"{INSTALLATION_ANNOTATION} of ConfigMap {state_name(slice_name)}."
    )


def contended(contender: str, ours: str) -> Trouble:
    """What the one that manages the slice says."""
    if contender == UNKNOWN:
        said = (
            "Another operator, perhaps of an older version, keeps changing this slice's objects; the one whose Lease "
            f"is {ours} leaves them alone for now. Let only one of them watch this namespace."
        )
    else:
        said = (
            f"The operator whose Lease is {contender} watches this slice, too, and changes nothing: the one whose "
            f"Lease is {ours} manages it. Let only one of them watch this namespace."
        )
    return Trouble(TroubleKind.OPERATOR_CONFLICT, Reason.MULTIPLE_INSTALLATIONS, said)
