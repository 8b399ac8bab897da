"""What can go wrong at the Kubernetes API, told apart by what a caller does about it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class KubeError(Exception):
    """The API server refused, or was not reached. `status` is HTTP's (0: no answer), `reason` Kubernetes' one word."""

    def __init__(
        self,
        where: str,
        *,
        status: int = 0,
        reason: str = "",
        message: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        said = " ".join(str(part) for part in (status or "", reason) if part)
        super().__init__(f"{where}: {': '.join(part for part in (said, message) if part)}")
        self.where = where
        self.status = status
        self.reason = reason
        self.message = message
        self.details: Mapping[str, Any] = details or {}


class NotFoundError(KubeError):
    """No such object, or no such kind (`missing_kind`): its CRD is not installed."""

    @property
    def missing_kind(self) -> bool:
        return not self.details.get("name")


class AlreadyExistsError(KubeError):
    """`create` of a name that is taken."""


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """A field that another manager owns with another value. `field` as in `.spec.replicas`."""

    manager: str
    field: str


class ConflictError(KubeError):
    """The object changed meanwhile, is another one (UID), or, of an apply, fields belong to someone else."""

    @property
    def conflicts(self) -> tuple[FieldConflict, ...]:
        """Who holds which field; empty when it isn't about fields."""
        causes = self.details.get("causes") or ()
        return tuple(
            FieldConflict(_manager(str(cause.get("message", ""))), str(cause.get("field", "")))
            for cause in causes
            if cause.get("reason") == "FieldManagerConflict"
        )


class ForbiddenError(KubeError):
    """RBAC, a quota or an admission webhook says no."""


class AdmissionDeniedError(ForbiddenError):
    """An admission webhook or policy says no. The status and reason of the answer are whatever it chose."""


class UnauthorizedError(KubeError):
    """The credentials are not accepted, also after they were read again."""


class InvalidError(KubeError):
    """The object breaks a rule of its kind: trying again can't help."""


class ExpiredError(KubeError):
    """A resource version or a list's continuation that is too old: list again."""


class TooManyRequestsError(KubeError):
    """The API server asks for patience: `retry_after` seconds."""

    retry_after: float = 1.0


class UnreachableError(KubeError):
    """No answer in time, no connection, or one that broke. Whether a write was carried out is not known."""


class NotLeadingError(KubeError):
    """The write was not sent: this process doesn't lead, or no longer knows that it does."""


_BY_REASON: Mapping[str, type[KubeError]] = {
    "NotFound": NotFoundError,
    "AlreadyExists": AlreadyExistsError,
    "Conflict": ConflictError,
    "Forbidden": ForbiddenError,
    "Unauthorized": UnauthorizedError,
    "Invalid": InvalidError,
    "BadRequest": InvalidError,
    "Expired": ExpiredError,
    "Gone": ExpiredError,
    "TooManyRequests": TooManyRequestsError,
    "Timeout": UnreachableError,
    "ServerTimeout": UnreachableError,
    "ServiceUnavailable": UnreachableError,
    "InternalError": UnreachableError,
}
_BY_STATUS: Mapping[int, type[KubeError]] = {
    400: InvalidError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: ExpiredError,
    422: InvalidError,
    429: TooManyRequestsError,
}
_DENIED = re.compile(
    r'admission webhook "[^"]*" denied the request(?:: | without explanation)'
    r'|(?:[\w./-]+ )?(?:"[^"]*" )?is forbidden: '
    r"ValidatingAdmissionPolicy '[^']*' with binding '[^']*' denied request: "
)
"""How the API server begins what it hands on from a webhook or policy, which may choose any status: a 409 that is none,
a 404 of an object that is there."""
_MANAGER = re.compile(r'conflict with "([^"]*)"')


def error_of(where: str, status: int, answer: Any, retry_after: str | None = None) -> KubeError:
    """The error for an answer that isn't a success. `answer`: the parsed body; the API server's own is a `Status`."""
    body: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {}
    reason = str(body.get("reason") or "")
    unreachable = UnreachableError if status >= 500 else KubeError
    message = str(body.get("message") or ("" if body else answer) or "")
    kind = _BY_REASON.get(reason) or _BY_STATUS.get(status, unreachable)
    if _DENIED.match(message):
        kind = AdmissionDeniedError
    if kind is InvalidError and _is_another(body.get("details") or {}):
        kind = ConflictError
    error = kind(
        where,
        status=status,
        reason=reason,
        message=message,
        details=body.get("details") or {},
    )
    if isinstance(error, TooManyRequestsError):
        error.retry_after = _seconds(retry_after, error.details.get("retryAfterSeconds"))
    return error


def _is_another(details: Mapping[str, Any]) -> bool:
    """An apply with a UID, of a name that another object has by now: to the API server the UID may not be changed."""
    return any(cause.get("field") == "metadata.uid" for cause in details.get("causes") or ())


def _manager(message: str) -> str:
    """`conflict with "kubectl" using apps/v1` → kubectl."""
    found = _MANAGER.search(message)
    return found.group(1) if found else ""


def _seconds(*told: Any) -> float:
    """The first that is a number, within a second and a minute."""
    for value in told:
        try:
            return min(max(float(value), 1.0), 60.0)
        except (TypeError, ValueError):
            continue
    return 1.0
