"""What the API server's refusals mean for a slice: something to try again soon, or something a person has to change."""

from dataclasses import dataclass

from resilientslice.kube.errors import ForbiddenError, InvalidError, KubeError, NotFoundError
from resilientslice.reconcile.children import ChildId
from resilientslice.reconcile.observed import Trouble, TroubleKind

RETRY_SECONDS = 30.0
"""Until a write that was refused is tried again by itself: a permission or a quota may have been given meanwhile."""
MESSAGE_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server does not take an object as it is rendered now. Tried again when the object changes, or at `until`
    (seconds since the epoch)."""

    object: ChildId
    digest: str
    until: float
    trouble: Trouble


def refusal_of(child: ChildId, digest: str, error: KubeError, now: float) -> Refusal | None:
    """None for an error that passes by itself: it is the caller's to try again."""
    found = _reason(error)
    if found is None:
        return None
    reason, advice = found
    said = f"{' '.join(child)}: {advice}: {error.message or error}"
    return Refusal(child, digest, now + RETRY_SECONDS, Trouble(TroubleKind.REFUSED, reason, said[:MESSAGE_LENGTH]))


def _reason(error: KubeError) -> tuple[str, str] | None:
    if isinstance(error, ForbiddenError):
        if "exceeded quota" in error.message:
            return "QuotaExceeded", "raise the ResourceQuota, or ask for less"
        if "is forbidden: User" in error.message or "cannot" in error.message:
            return "Forbidden", "the operator may not do this; grant it (see the RBAC that it is installed with)"
        return "Refused", "an admission rule of the cluster refuses it"
    if isinstance(error, InvalidError):
        return "Refused", "the API server refuses it"
    if isinstance(error, NotFoundError):
        missing = error.missing_kind
        return ("KindMissing", "its kind is not installed in the cluster") if missing else None
    return None
