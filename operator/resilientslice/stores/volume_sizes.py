"""How large a store's volume is to be beside what its claim has: what is asked of the claim, and what is said of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from resilientslice.api.reasons import Reason
from resilientslice.api.scalars import quantity_value
from resilientslice.api.services import StoreName
from resilientslice.planning.observed import Trouble, TroubleKind, Volume

MESSAGE_LENGTH = 600


@dataclass(frozen=True, slots=True)
class Claim:
    """A volume claim as it is stored. `capacity` is empty before it has a volume."""

    name: str
    requested: str
    capacity: str = ""
    storage_class: str = ""
    conditions: Mapping[str, str] = field(default_factory=dict)
    """Messages of those that are true, by type."""
    infeasible: bool = False
    """Its volume can't be made larger, as its driver says."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """`request`: what the claim is to ask for, empty to leave it. `in_force`: size that objects are rendered with."""

    in_force: str
    request: str = ""
    trouble: Trouble | None = None


def claim_of(stored: Mapping[str, Any]) -> Claim:
    spec, status = stored["spec"], stored.get("status") or {}
    statuses = status.get("allocatedResourceStatuses") or {}
    return Claim(
        name=stored["metadata"]["name"],
        requested=str(spec["resources"]["requests"]["storage"]),
        capacity=str((status.get("capacity") or {}).get("storage", "")),
        storage_class=spec.get("storageClassName") or "",
        conditions={
            condition["type"]: condition.get("message", "")
            for condition in status.get("conditions") or ()
            if condition.get("status") == "True"
        },
        infeasible=str(statuses.get("storage", "")).endswith("Infeasible"),
    )


def sizing_of(store: StoreName, asked: str, claim: Claim | None) -> Sizing:
    """A volume never shrinks, but a size that it doesn't have yet can be taken back."""
    if claim is None or _same(asked, claim.requested):
        return Sizing(asked, trouble=_infeasible(store, claim))
    if _bytes(asked) > _bytes(claim.requested):
        return Sizing(asked, request=asked)
    if claim.capacity and _bytes(asked) > _bytes(claim.capacity):
        return Sizing(asked, request=asked)
    if claim.capacity and _same(asked, claim.capacity):
        # the claim's own request can't be taken back as far as this
        return Sizing(asked)
    return Sizing(claim.requested, trouble=_not_shrunk(store, asked, claim))


def not_resized(store: StoreName, asked: str, claim: Claim, said: str) -> Sizing:
    """The API server refuses another size. One that was to be taken back may still come."""
    if _bytes(asked) < _bytes(claim.requested):
        return Sizing(asked)
    return Sizing(claim.requested, trouble=_not_grown(store, asked, claim, said))


def volume_of(store: StoreName, slice_name: str, claim: Claim) -> Volume:
    return Volume(claim.requested, claim.capacity, _growth(f"{slice_name}-{store}-0", claim))


def other_class(store: StoreName, wanted: str | None, claim: Claim | None) -> Trouble | None:
    """Of a volume that was there before the store was asked for."""
    if not wanted or claim is None or claim.storage_class in ("", wanted):
        return None
    said = (
        f"PersistentVolumeClaim {claim.name} exists with StorageClass {claim.storage_class}, which can't be changed; "
        f"it is used as it is. Set spec.stores.{store}.managed.storageClassName: {claim.storage_class}."
    )
    return Trouble(TroubleKind.REFUSED, Reason.STORAGE_CLASS_IMMUTABLE, said)


def grows(claim: Claim) -> bool:
    return bool(claim.capacity) and _bytes(claim.capacity) < _bytes(claim.requested)


def _growth(pod: str, claim: Claim) -> str:
    if not grows(claim):
        return ""
    said = f"PersistentVolumeClaim {claim.name} grows from {claim.capacity} to {claim.requested}."
    if "FileSystemResizePending" in claim.conditions:
        said += f" FileSystemResizePending: if this lasts, delete pod {pod}; its volume grows when it starts again."
    errors = [f"{kind}: {message}" for kind, message in claim.conditions.items() if kind.endswith("ResizeError")]
    return " ".join((said, *errors))[:MESSAGE_LENGTH]


def _infeasible(store: StoreName, claim: Claim | None) -> Trouble | None:
    if claim is None or not claim.infeasible or not grows(claim):
        return None
    return _not_grown(store, claim.requested, claim, "; ".join(claim.conditions.values()) or "its driver can't")


def _not_grown(store: StoreName, asked: str, claim: Claim, said: str) -> Trouble:
    size = claim.capacity or claim.requested
    if "exceeded quota" in said:
        advice = "Raise the ResourceQuota"
    elif not claim.capacity:
        advice = "It has no volume yet: delete it and its pod to have it made with the new size"
    else:
        advice = f"Set allowVolumeExpansion: true on StorageClass {claim.storage_class or 'of the claim'}"
    text = f"PersistentVolumeClaim {claim.name} stays at {size} and does not grow to {asked}: {said}"
    back = f"{advice}, or set spec.stores.{store}.managed.storage back to {size}."
    return Trouble(TroubleKind.REFUSED, Reason.VOLUME_EXPANSION_FAILED, f"{text[:MESSAGE_LENGTH]}. {back}")


def _not_shrunk(store: StoreName, asked: str, claim: Claim) -> Trouble:
    size = claim.capacity or claim.requested
    said = f"PersistentVolumeClaim {claim.name} has {size}, and volumes never shrink: {asked} does not act. "
    advice = f"Set spec.stores.{store}.managed.storage to {size}."
    if not claim.capacity:
        said = f"PersistentVolumeClaim {claim.name} asks for {size} and has no volume yet: {asked} does not act. "
        advice = "Delete it and its pod to have it made anew; it holds no data."
    return Trouble(TroubleKind.REFUSED, Reason.VOLUME_SHRINK_FORBIDDEN, said + advice)


def _bytes(size: str) -> float:
    return float(quantity_value(size))


def _same(one: str, other: str) -> bool:
    return quantity_value(one) == quantity_value(other)
