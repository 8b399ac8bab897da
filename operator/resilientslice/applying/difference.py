"""What has to be written, and why: expected objects beside the children that are there. Decides, writes nothing."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from resilientslice.applying.expected import Expected
from resilientslice.kube.children import DIGEST_ANNOTATION, Child, ChildId, note_of
from resilientslice.render.kinds import RENDERED_NAMES, order


class Action(StrEnum):
    CREATE = "Create"
    """It isn't there, as far as is known."""
    UPDATE = "Update"
    """It is to be something else."""
    RETAKE = "Retake"
    """It is to be what it was, and someone took a field of it."""


@dataclass(frozen=True, slots=True)
class Change:
    action: Action
    expected: Expected
    hand_over: int | None = None
    """Replicas to leave to the autoscaler's field manager before our own gives them up; None: there are none."""

    @property
    def id(self) -> ChildId:
        return self.expected.id


@dataclass(frozen=True, slots=True)
class Difference:
    """`changes` in the order of application, `gone` in the order of removal. `waiting` are in the way and on their
    way out; `strangers` belong to someone else."""

    changes: tuple[Change, ...] = ()
    gone: tuple[ChildId, ...] = ()
    strangers: tuple[ChildId, ...] = ()
    waiting: tuple[ChildId, ...] = ()

    @property
    def nothing(self) -> bool:
        return not self.changes and not self.gone


def difference_of(
    expected: Mapping[ChildId, Expected],
    children: Mapping[ChildId, Child],
    uid: str,
    *,
    as_applied: Mapping[ChildId, tuple[str, str]],
    held: Collection[ChildId] = (),
) -> Difference:
    """`children` are all those with the slice's label. `as_applied`: digest and shape as they were right after our last
    write, where the API server doesn't keep a field that we render. `held` are left as they are for now."""
    changes: list[Change] = []
    strangers: list[ChildId] = []
    waiting: list[ChildId] = []
    for key, wanted in expected.items():
        child = children.get(key)
        if child is not None and child.owner_uid != uid:
            strangers.append(key)
        elif child is not None and child.deleting:
            waiting.append(key)
        elif key not in held:
            change = _change(wanted, child, as_applied.get(key))
            changes += [change] if change else []
    gone = [key for key, child in children.items() if key not in expected and _removable(child, uid)]
    return Difference(tuple(changes), tuple(sorted(gone, key=_removal)), tuple(strangers), tuple(waiting))


def _change(wanted: Expected, child: Child | None, as_applied: tuple[str, str] | None) -> Change | None:
    if child is None:
        return Change(Action.CREATE, wanted, wanted.first_replicas)
    note, digest = note_of(child), child.annotations.get(DIGEST_ANNOTATION, "")
    intact = note.fields == wanted.shape or (digest, note.fields) == as_applied
    if digest == wanted.digest and intact:
        return None
    handed = child.replicas if note.holds_replicas and wanted.first_replicas is not None else None
    return Change(Action.UPDATE if digest != wanted.digest else Action.RETAKE, wanted, handed)


def _removable(child: Child, uid: str) -> bool:
    return child.kind in RENDERED_NAMES and child.owner_uid == uid and not child.deleting


def _removal(key: ChildId) -> tuple[int, str]:
    """Last applied, first removed: what isolates a pod outlives it."""
    return -order(key[0]), key[1]
