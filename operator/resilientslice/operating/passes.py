"""Around each pass: a name for its log lines, its length, its outcome."""

import itertools
import time
from typing import Final

import structlog

from resilientslice.kube.errors import KubeError, NotLeadingError
from resilientslice.kube.kinds import SliceKey
from resilientslice.operating.logs import about
from resilientslice.operating.metrics import OperatorMetrics
from resilientslice.operating.world import Reconciler
from resilientslice.workqueue.queue import Failure, Result

DEFECT_SECONDS: Final = 5.0
"""An error that nobody expected is a defect: it rarely mends itself, so it is not tried at once."""

_log = structlog.get_logger("resilientslice.reconcile")


def patience(error: Exception) -> float:
    """Seconds to wait at least before a failed pass is tried again."""
    told = getattr(error, "retry_after", None)
    if told is not None:
        return float(told)
    return 0.0 if isinstance(error, KubeError) else DEFECT_SECONDS


class Passes:
    def __init__(self, metrics: OperatorMetrics) -> None:
        self._metrics = metrics
        self._count = itertools.count(1)

    async def one(self, key: SliceKey, reconciler: Reconciler) -> Result:
        """Whatever is logged in the pass carries the slice and a number of its own."""
        started = time.monotonic()
        with about(slice=str(key), reconcile=str(next(self._count))):
            try:
                result = await reconciler.reconcile(key)
            except Exception as error:
                self._metrics.passes.labels("failed" if _expected(error) else "defect").inc()
                raise
            finally:
                self._metrics.pass_seconds.observe(time.monotonic() - started)
        self._metrics.passes.labels("done").inc()
        return result

    def failed(self, key: SliceKey, failure: Failure) -> None:
        """Told by the queue."""
        if isinstance(failure.error, NotLeadingError):
            return  # the process is about to end, and says so itself
        wait = round(failure.wait, 2)
        if _expected(failure.error):
            _log.warning("pass failed", slice=str(key), reason=str(failure.error), again_in=wait)
        else:
            _log.error("pass failed by a defect", slice=str(key), again_in=wait, exc_info=failure.error)


def _expected(error: Exception) -> bool:
    return isinstance(error, KubeError) or hasattr(error, "retry_after")
