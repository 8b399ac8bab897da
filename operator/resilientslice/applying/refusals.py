"""What the API server refuses, or fails to do, in the words of the status: said while it lasts, and in the same words.

What is refused until someone changes something stalls the slice at once. What may pass by itself is said when it has
lasted for a few seconds; the pass fails, so that the queue has it tried again.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType

from resilientslice.api.reasons import Reason
from resilientslice.kube.children import ChildId
from resilientslice.kube.errors import KubeError, NotLeadingError
from resilientslice.kube.meaning import failed_webhook, meaning_of
from resilientslice.planning.observed import Trouble, TroubleKind

RETRY_SECONDS = 30.0
"""Until a write that was refused is tried again by itself: a permission or a quota may have been given meanwhile."""
SAY_SECONDS = 3.0
"""What fails for that long is said."""
MESSAGE_LENGTH = 500
_CHANGING = re.compile(r"[\w.:-]*\d[\w.:-]*")
"""Addresses, times, numbers of requests: each try may have other ones."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server does not take an object as it is rendered now. Tried again when the object changes, or at `until`
    (seconds since the epoch)."""

    object: ChildId
    digest: str
    until: float
    trouble: Trouble


@dataclass(frozen=True, slots=True)
class Failing:
    """What could not be done in the last pass, by what was tried. `since`: a pass has failed ever since then (seconds
    since the epoch); 0: nothing fails."""

    of: Mapping[str, Trouble] = field(default_factory=dict)
    since: float = 0.0

    def after(self, failures: Iterable[KubeError], namespace: str, now: float) -> "Failing":
        """The same after another pass."""
        found = {error.where: _same(self.of.get(error.where), _failed(error, namespace)) for error in failures}
        return Failing(found, (self.since or now) if found else 0.0)

    def troubles(self, now: float) -> tuple[Trouble, ...]:
        """Those to be said."""
        lasts = now - self.since >= SAY_SECONDS
        ordered = (self.of[where] for where in sorted(self.of))
        return tuple(trouble for trouble in ordered if lasts or trouble.kind is TroubleKind.REFUSED)


def refusal_of(
    child: ChildId, digest: str, error: KubeError, now: float, before: Refusal | None = None
) -> Refusal | None:
    """None for an error that may pass by itself: it is the caller's to try again. `before`: of the try before."""
    if not meaning_of(error).lasts:
        return None
    trouble = _same(before.trouble if before else None, _trouble(" ".join(child), error))
    return Refusal(child, digest, now + RETRY_SECONDS, trouble)


def steady(before: Iterable[Trouble], now: Trouble) -> Trouble:
    """In the words of `before`, if the same was among it."""
    return next((known for known in before if _same(known, now) is known), now)


@dataclass(frozen=True, slots=True)
class Collected:
    """`with Collected(failures)`: what fails in there keeps nothing else from being tried. NotLeadingError propagates:
    nothing may be tried."""

    failures: list[KubeError]

    def __enter__(self) -> None: ...

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> bool:
        if not isinstance(error, KubeError) or isinstance(error, NotLeadingError):
            return False
        self.failures.append(error)
        return True


def _failed(error: KubeError, namespace: str) -> Trouble:
    """`where` is a verb, a kind and a name."""
    return _trouble(error.where.partition(" ")[2].replace(f"{namespace}/", "") or error.where, error)


def _trouble(what: str, error: KubeError) -> Trouble:
    meaning = meaning_of(error)
    said = f"{what}: {meaning.advice}: {error.message or error}"
    kind = TroubleKind.REFUSED if meaning.lasts else TroubleKind.FAILING
    return Trouble(kind, meaning.reason, said if len(said) <= MESSAGE_LENGTH else f"{said[:MESSAGE_LENGTH]}…")


def _same(before: Trouble | None, now: Trouble) -> Trouble:
    """`before`, if that is the same but for what differs from try to try: the status is not written again for it."""
    if before is None:
        return now
    if now.reason is Reason.REQUEST_TIMED_OUT and before.reason in (Reason.REQUEST_TIMED_OUT, Reason.WEBHOOK_FAILED):
        return before  # the same webhook, perhaps: sometimes the API server gives up first, sometimes we do
    return before if _constant(before) == _constant(now) else now


def _constant(trouble: Trouble) -> tuple[str, str]:
    what, _, said = trouble.message.partition(": ")
    webhook = failed_webhook(said.partition(": ")[2])
    return trouble.reason, f"{what}: {webhook or _CHANGING.sub('', said)}"
