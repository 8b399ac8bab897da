"""What a refusal or failure of the API server means for a person: one word, what to do, and whether trying again helps.

Decided by HTTP status, by Kubernetes' reason, and by the frame that the API server itself puts around the words of a
policy or webhook. A frame is only looked for where a message begins: whatever a policy says stands behind it.
"""

import re
from dataclasses import dataclass

from resilientslice.api.reasons import Reason
from resilientslice.kube.errors import (
    AdmissionDeniedError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    KubeError,
    NotFoundError,
    TooManyRequestsError,
    UnauthorizedError,
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """`lasts`: it is refused until someone changes something; otherwise it may pass by itself."""

    reason: Reason
    advice: str
    lasts: bool = True


_OBJECT = r'(?:[\w./-]+ )?(?:"[^"]*" )?is forbidden: '
_PROBLEMS: tuple[tuple[re.Pattern[str], Meaning], ...] = tuple(
    (re.compile(frame), meaning)
    for frame, meaning in (
        (
            rf'{_OBJECT}User "(?:[^"\\]|\\.)*" cannot ',
            Meaning(
                Reason.FORBIDDEN,
                "the operator may not do this; grant it (see the RBAC that it is installed with)",
            ),
        ),
        (
            rf"{_OBJECT}cannot set (?:blockOwnerDeletion if an ownerReference|an ownerRef on a resource you can't)",
            Meaning(
                Reason.FORBIDDEN,
                "the operator may not do this; grant it (see the RBAC that it is installed with)",
            ),
        ),
        (
            rf"{_OBJECT}exceeded quota: ",
            Meaning(Reason.QUOTA_EXCEEDED, "raise the ResourceQuota, or ask for less"),
        ),
        (
            rf"{_OBJECT}failed quota: ",
            Meaning(Reason.QUOTA_EXCEEDED, "set the resources that the namespace's ResourceQuota asks for"),
        ),
        (
            rf"{_OBJECT}\[?(?:(?:minimum|maximum) [\w./-]+ usage|[\w./-]+ max limit to request ratio) per ",
            Meaning(Reason.LIMIT_RANGE, "ask for resources within the namespace's LimitRange, or change it"),
        ),
        (
            rf"{_OBJECT}violates PodSecurity ",
            Meaning(
                Reason.POD_SECURITY,
                "the namespace's Pod Security level refuses it; change the slice, or the level",
            ),
        ),
        (
            rf"{_OBJECT}unable to create new content in namespace \S+ because it is being terminated",
            Meaning(Reason.NAMESPACE_TERMINATING, "the namespace is being deleted, and the slice with it"),
        ),
    )
)
_WEBHOOK_FAILED = re.compile(r'Internal error occurred: failed calling webhook "[^"]*": ')
_TOO_LARGE = re.compile(r"etcdserver: request is too large|rpc error: code = ResourceExhausted desc = trying to send ")
_IMMUTABLE_ENDS = ("field is immutable", "may not change once set")
_IMMUTABLE_STARTS = ("Forbidden: updates to statefulset spec for fields", "Forbidden: spec is immutable after creation")
_UNKNOWN_FIELD = re.compile(r"failed to create typed patch object \(")
_TOO_OLD = Meaning(Reason.REFUSED, "the API server, or a CRD in it, doesn't know one of its fields: upgrade that")
_DENIED = Meaning(Reason.REFUSED, "an admission rule of the cluster refuses it")
_IMMUTABLE_FIELD = Meaning(
    Reason.IMMUTABLE, "this field can't be changed; undo the edit, or delete the object so that it is made anew"
)
_LARGE = Meaning(Reason.OBJECT_TOO_LARGE, "the object is larger than the API server takes; make the slice smaller")
_FAILED = Meaning(Reason.WRITE_FAILED, "the API server fails; it is tried again", lasts=False)


def meaning_of(error: KubeError) -> Meaning:
    """Every error has one."""
    if isinstance(error, ForbiddenError):
        known = None if isinstance(error, AdmissionDeniedError) else known_denial(error.message)
        return known or _DENIED
    if isinstance(error, InvalidError):
        immutable = any(_is_immutable(cause) for cause in error.details.get("causes") or ())
        return _IMMUTABLE_FIELD if immutable else Meaning(Reason.REFUSED, "the API server refuses it")
    if isinstance(error, NotFoundError) and error.missing_kind:
        return Meaning(Reason.KIND_NOT_INSTALLED, "its kind is not installed in the cluster")
    if error.status == 413 or _TOO_LARGE.match(error.message):
        return _LARGE
    if _UNKNOWN_FIELD.match(error.message):
        return _TOO_OLD
    return _passing(error)


def known_denial(message: str) -> Meaning | None:
    """Of the words of a 403, also as a Deployment repeats them of its pods; None for an admission rule's own."""
    return next((meaning for frame, meaning in _PROBLEMS if frame.match(message)), None)


def failed_webhook(message: str) -> str:
    """The API server's words up to the name of an admission webhook that it could not call; empty if it is none."""
    found = _WEBHOOK_FAILED.match(message)
    return found.group() if found else ""


def _passing(error: KubeError) -> Meaning:
    if failed_webhook(error.message):
        advice = "an admission webhook doesn't answer; have it running, or remove its configuration"
        return Meaning(Reason.WEBHOOK_FAILED, advice, lasts=False)
    if isinstance(error, TooManyRequestsError):
        return Meaning(Reason.TOO_MANY_REQUESTS, "the API server asks for patience; it is tried again", lasts=False)
    if isinstance(error, UnauthorizedError):
        return Meaning(Reason.UNAUTHORIZED, "the API server doesn't accept the operator's credentials", lasts=False)
    if isinstance(error, ConflictError):
        return Meaning(Reason.CONFLICT, "it was changed at the same moment; it is tried again", lasts=False)
    if error.status in (0, 504):
        advice = "the API server, or an admission webhook that it waits for, doesn't answer in time; it is tried again"
        return Meaning(Reason.REQUEST_TIMED_OUT, advice, lasts=False)
    return _FAILED


def _is_immutable(cause: object) -> bool:
    said = str(cause.get("message")) if isinstance(cause, dict) else ""
    return said.endswith(_IMMUTABLE_ENDS) or said.startswith(_IMMUTABLE_STARTS)
