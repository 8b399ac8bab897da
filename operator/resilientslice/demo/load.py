"""Bounded traffic against the front of a slice, and a tally of what came back.

Requests start in fixed, staggered slots, so that a slow answer never thins out the load that follows it. Every run is
bounded in count and each request in time.
"""

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp

CLIENT_TIMEOUT = 10.0
"""Seconds after which a request counts as failed, far above any time-out of the slice."""
FAILED = 0
"""Status of a request that got no answer at all."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's end: `status` 0 for none, seconds it took, and the hops that served it as `name@track`. `began`:
    seconds on the loop's clock when it was sent."""

    status: int
    seconds: float
    hops: tuple[str, ...] = ()
    body: Any = None
    error: str = ""
    began: float = 0.0

    @property
    def ended(self) -> float:
        return self.began + self.seconds

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 400


@dataclass(frozen=True, slots=True)
class Tally:
    """The answers of one run."""

    answers: Sequence[Answer]

    @property
    def total(self) -> int:
        return len(self.answers)

    @property
    def failed(self) -> int:
        return sum(not answer.succeeded for answer in self.answers)

    @property
    def statuses(self) -> Counter[int]:
        return Counter(answer.status for answer in self.answers)

    @property
    def seconds(self) -> float:
        """From the first request sent to the last answer."""
        return max(a.ended for a in self.answers) - min(a.began for a in self.answers) if self.answers else 0.0

    def rate(self, status: int) -> float:
        """Answers of that status a second."""
        return self.statuses[status] / self.seconds if self.answers else 0.0

    def only(self, status: int) -> "Tally":
        return Tally([answer for answer in self.answers if answer.status == status])

    def share(self, hop: str) -> float:
        """Percent of the successful answers that `hop` (`payments@canary`) had a part in."""
        served = [answer for answer in self.answers if answer.succeeded]
        return 100 * sum(hop in answer.hops for answer in served) / len(served) if served else 0.0

    def percentile(self, percent: float) -> float:
        """Seconds within which that percent of the requests ended (nearest rank)."""
        ordered = sorted(answer.seconds for answer in self.answers)
        return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)] if ordered else 0.0

    def failures(self) -> str:
        """`503 x 4, no answer x 1 (ConnectionRefusedError)`, or an empty string."""
        counted = Counter(
            f"{answer.status}" if answer.status else f"no answer ({answer.error})"
            for answer in self.answers
            if not answer.succeeded
        )
        return ", ".join(f"{what} x {count}" for what, count in sorted(counted.items()))

    def explain(self, figures: str) -> str:
        """`figures`, with what the failures were if there are any."""
        return f"{figures} ({self.failures()})" if self.failed else figures


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    keep_body: bool = False


class Client:
    """A keep-alive client of one front URL. A request that takes longer than `seconds` has failed."""

    def __init__(self, front_url: str, *, connections: int = 64, seconds: float = CLIENT_TIMEOUT) -> None:
        self._front_url = front_url.rstrip("/")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections),
            timeout=aiohttp.ClientTimeout(total=seconds),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def send(self, request: Request) -> Answer:
        """Send one request; a failure to get an answer is an Answer with status 0, not an exception."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with self._session.request(
                request.method, self._front_url + request.path, headers=dict(request.headers), json=request.json
            ) as response:
                raw = await response.read()
                body = await response.json(content_type=None) if request.keep_body and raw else None
                hops = tuple(hop.strip() for hop in response.headers.get("X-Served-By", "").split(",") if hop.strip())
                return Answer(response.status, loop.time() - started, hops, body, began=started)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return Answer(FAILED, loop.time() - started, error=type(error).__name__, began=started)

    async def paced(self, requests: Sequence[Request], *, per_second: float) -> Tally:
        """Send each request in its own slot, `per_second` slots a second, and wait for all answers."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        tasks: list[asyncio.Task[Answer]] = []
        for number, request in enumerate(requests):
            await asyncio.sleep(max(0.0, begin + number / per_second - loop.time()))
            tasks.append(asyncio.create_task(self.send(request)))
        return Tally(await asyncio.gather(*tasks))

    async def closed_loop(self, make: Callable[[int], Request], *, count: int, workers: int) -> Tally:
        """Send `count` requests from `workers` that each wait for their answer: as fast as the slice goes."""
        numbers = iter(range(count))
        answers: list[Answer] = []

        async def work() -> None:
            for number in numbers:
                answers.append(await self.send(make(number)))  # noqa: PERF401  awaited one by one on purpose

        await asyncio.gather(*(work() for _ in range(workers)))
        return Tally(answers)


class Background:
    """Traffic that continues until stopped, for claims about what callers see while something changes."""

    def __init__(
        self, client: Client, make: Callable[[int], Request], *, per_second: float, at_most: int = 6000
    ) -> None:
        self._client = client
        self._make = make
        self._per_second = per_second
        self._at_most = at_most
        self._stopping = asyncio.Event()
        self._answers: list[Answer] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def tally(self) -> Tally:
        return Tally(tuple(self._answers))

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        async with asyncio.TaskGroup() as group:
            for number in itertools.islice(itertools.count(), self._at_most):
                pause = begin + number / self._per_second - loop.time()
                if self._stopping.is_set() or (pause > 0 and await self._stopped_within(pause)):
                    return
                group.create_task(self._record(self._make(number)))

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _record(self, request: Request) -> None:
        self._answers.append(await self._client.send(request))
