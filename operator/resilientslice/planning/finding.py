"""A condition before it has a time, and how it gets one."""

from collections.abc import Iterable
from dataclasses import dataclass

from resilientslice.api.reasons import Reason
from resilientslice.api.status import NEVER, Condition, ConditionType, Truth
from resilientslice.planning.timestamps import rfc3339

MESSAGE_LENGTH = 4096


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition, as it is found now."""

    type: ConditionType
    status: Truth
    reason: Reason
    message: str = ""


def with_times(
    findings: Iterable[Finding], previous: Iterable[Condition], *, generation: int, now: float
) -> tuple[Condition, ...]:
    """`lastTransitionTime` stays while a condition's status does. What the CRD's default says was never found."""
    before = {condition.type: condition for condition in previous if condition.last_transition_time != NEVER}
    return tuple(_with_time(finding, before.get(finding.type.value), generation, now) for finding in findings)


def _with_time(finding: Finding, before: Condition | None, generation: int, now: float) -> Condition:
    same = before is not None and before.status == finding.status
    return Condition(
        type=finding.type.value,
        status=finding.status,
        reason=str(finding.reason),
        message=finding.message[:MESSAGE_LENGTH],
        observed_generation=generation,
        last_transition_time=before.last_transition_time if before is not None and same else rfc3339(now),
    )
