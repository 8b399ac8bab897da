"""Changes a weight over and over under steady traffic, and finds when answers, and the status, followed.

Pure but for `Weigher`: what the load wrote down and when patches went is compared afterwards, on one clock.
"""

import asyncio
import math
import random
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resilientslice.kube.client import APPLY
from resilientslice.kube.kinds import CONFIG_MAP
from testkit.slice_editor import SliceEditor, Statuses
from testkit.waiting import until

NONE, MOST = 0, 99
"""The weights: 100 would promote."""


@dataclass(frozen=True, slots=True)
class Change:
    """Nanoseconds of the monotonic clock."""

    weight: int
    generation: int
    sent: int
    returned: int
    yardstick: int
    """How long a write of a ConfigMap took right before."""


class Weigher:
    """Sets weights of the slice of an editor that is watching, and notes when."""

    def __init__(self, editor: SliceEditor) -> None:
        self.editor = editor
        self.statuses = editor.statuses

    async def measure(self) -> int:
        """Nanoseconds that the API server takes now for a write that nobody but etcd has to do with."""
        name, began = "bench-yardstick", time.monotonic_ns()
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"at": str(began)}}
        query = {"fieldManager": "bench", "force": "true"}
        path = CONFIG_MAP.path(self.editor.namespace, name)
        await self.editor.session.request(
            "PATCH", path, kind=CONFIG_MAP, what=name, query=query, body=made, content_type=APPLY
        )
        return time.monotonic_ns() - began

    async def weigh(self, weight: int) -> Change:
        """Set a weight and return once the status shows it."""
        yardstick = await self.measure()
        sent = time.monotonic_ns()
        answer = await self.editor.patch({"canary": {"weight": weight}})
        change = Change(weight, int(answer["metadata"]["generation"]), sent, time.monotonic_ns(), yardstick)
        await until(
            lambda: self.statuses.seen.get((change.generation, weight)), f"weight {weight} in status", self.editor.said
        )
        return change

    async def back_and_forth(self, count: int, told: Callable[[int], None]) -> list[Change]:
        """`count` changes, at moments that have nothing to do with the slots of the load."""
        changes = []
        for number in range(count):
            await asyncio.sleep(random.uniform(0.12, 0.2))
            changes.append(await self.weigh(MOST if number % 2 == 0 else NONE))
            told(number + 1)
        return changes


@dataclass(frozen=True, slots=True)
class Answers:
    """What the load wrote down, by the time of sending. `marked`: of the canary."""

    sent: Sequence[int]
    done: Sequence[int]
    status: Sequence[int]
    marked: Sequence[bool]

    @classmethod
    def read(cls, path: Path) -> "Answers":
        rows = [tuple(int(value) for value in line.split()) for line in path.read_text().splitlines()]
        sent, done, status, marked = zip(*rows, strict=True)
        return cls(sent, done, status, tuple(bool(mark) for mark in marked))

    @property
    def failed(self) -> int:
        return sum(status != 200 for status in self.status)

    @property
    def rate(self) -> float:
        return (len(self.sent) - 1) / (self.sent[-1] - self.sent[0]) * 1e9

    def gap(self, percent: float) -> float:
        """Milliseconds between two requests: how finely the load looks."""
        return percentile([(b - a) / 1e6 for a, b in zip(self.sent, self.sent[1:], strict=False)], percent)

    def seconds(self, percent: float) -> float:
        """Milliseconds that a request took."""
        return percentile([(b - a) / 1e6 for a, b in zip(self.sent, self.done, strict=True)], percent)

    def first_of_new(self, change: Change, end: int) -> int | None:
        """When the first answer of the new side came, for what was sent between the patch and `end`.

        Towards the canary: its first answer. Away from it: the first answer after which nothing comes from it any
        more, since one in a hundred was not the canary's before. None: there was none.
        """
        begin, stop = bisect_left(self.sent, change.sent), bisect_left(self.sent, end)
        marked = [at for at in range(begin, stop) if self.marked[at]]
        if change.weight == MOST:
            # one that was sent before the patch and answered after it counts too
            before = [at for at in range(max(0, begin - 20), begin) if self.marked[at] and self.done[at] > change.sent]
            found = [*before, *marked]
            return min((self.done[at] for at in found), default=None)
        at = marked[-1] + 1 if marked else begin
        return self.done[at] if at < stop else None


@dataclass(frozen=True, slots=True)
class Measured:
    """Milliseconds, one of each change."""

    from_sent: Sequence[float]
    from_return: Sequence[float]
    patch: Sequence[float]
    status: Sequence[float]
    """From the return of the patch."""
    yardstick: Sequence[float]
    """A write of a ConfigMap."""
    lost: int
    """Changes after which no answer of the new side was found."""


def measured(changes: Sequence[Change], answers: Answers, statuses: Statuses) -> Measured:
    ends = [change.sent for change in changes[1:]] + [answers.sent[-1]]
    firsts = [answers.first_of_new(change, end) for change, end in zip(changes, ends, strict=True)]
    found = [(change, first) for change, first in zip(changes, firsts, strict=True) if first is not None]
    return Measured(
        from_sent=[(first - change.sent) / 1e6 for change, first in found],
        from_return=[(first - change.returned) / 1e6 for change, first in found],
        patch=[(change.returned - change.sent) / 1e6 for change in changes],
        status=[(statuses.seen[change.generation, change.weight] - change.returned) / 1e6 for change in changes],
        yardstick=[change.yardstick / 1e6 for change in changes],
        lost=len(changes) - len(found),
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]
