"""Is the canary good enough for the next step? Judged by its own attempts, since a retry hides its failures."""

from dataclasses import dataclass
from enum import StrEnum

from resilientslice.api.policies import Analysis
from resilientslice.api.scalars import duration_milliseconds
from resilientslice.canary.state import Attempts


class Verdict(StrEnum):
    PASS = "Pass"  # noqa: S105 - a verdict, no password
    WAIT = "Wait"
    FAIL = "Fail"


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    why: str = ""


def judge(analysis: Analysis, attempts: Attempts | None) -> Judgement:
    """`attempts` since the step began; None if nobody counts them, which is not the same as none."""
    if attempts is None:
        return Judgement(Verdict.WAIT, "waits for figures of the canary's answers")
    total = attempts.good + attempts.bad
    if total < analysis.min_requests:
        return Judgement(Verdict.WAIT, f"waits for {analysis.min_requests} answers of the canary")
    if attempts.bad * 100 > analysis.max_error_percent * total:
        return Judgement(Verdict.FAIL, f"more than {analysis.max_error_percent}% of its answers were errors")
    return _judge_latency(analysis, attempts, total)


def _judge_latency(analysis: Analysis, attempts: Attempts, total: int) -> Judgement:
    if analysis.max_p99 is None or total == 0:
        return Judgement(Verdict.PASS)
    if attempts.p99 is None:
        return Judgement(Verdict.WAIT, "waits for the canary's 99th percentile")
    if attempts.p99 > duration_milliseconds(analysis.max_p99):
        return Judgement(Verdict.FAIL, f"its 99th percentile was above {analysis.max_p99}")
    return Judgement(Verdict.PASS)
