"""The one connection to Redis: whatever gathers in a turn of the event loop is written at once, answers come in order.

One watchdog guards it, not a timeout per request. When the oldest question has gone without an answer for too long, all
waiting callers get an error at once and the connection is closed; a new one is used only after its first replies:
a Redis that is stalled still accepts connections.
"""

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from redis import exceptions
from redis.asyncio import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from slicekit.health import is_closed_transport, reason_of
from slicekit.limits.accounts import Ask
from slicekit.limits.breaker import Breaker
from slicekit.limits.gcra import SECOND, Grant
from slicekit.limits.wire import SCRIPT, WireError, parse_answer, render_call

CONNECT_SECONDS = 1.0
_GRACE_SECONDS = 0.005
"""What the loop is given to read what has come, if the watchdog itself was late: then it was us who stalled."""
_FAILURES = (exceptions.RedisError, OSError, TimeoutError, WireError)


class Asker(Protocol):
    """Who has questions. Called from the event loop, never from within itself."""

    def collect(self) -> list[Ask]:
        """What to ask in one call, at most LARGEST_CALL; nothing once nothing is left."""

    def settle(self, asks: Sequence[Ask], grants: Sequence[Grant]) -> None: ...
    def lose(self, asks: Sequence[Ask]) -> None: ...
    def recovered(self) -> None: ...


@dataclass(slots=True)
class _Sent:
    """A command under way; no asks: the script being loaded."""

    asks: Sequence[Ask]
    at: float


class Link:
    """`start`, then `wake` whenever there is something to collect, then `stop`. `patience` in seconds."""

    def __init__(self, url: str, asker: Asker, *, patience: float, client_name: str, log: Any) -> None:
        self._asker, self._patience, self._log = asker, patience, log
        self._pool = ConnectionPool.from_url(
            url,
            socket_timeout=None,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
            client_name=client_name,
            protocol=2,
        )
        self.breaker = Breaker()
        self.calls = 0
        self._sent: deque[_Sent] = deque()
        self._wake, self._idle, self._attempted = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._broken: asyncio.Future[None] | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._sha = ""

    @property
    def usable(self) -> bool:
        return self.breaker.closed

    def wake(self) -> None:
        self._wake.set()

    async def start(self) -> None:
        """Returns once Redis has been tried, whether it answered or not."""
        if self._task is None:
            self._task = asyncio.create_task(self._supervise(), name="limits-redis")
        await self._attempted.wait()

    async def stop(self) -> None:
        """Sends what is left to be sent and waits for the answers, but not for long."""
        if self.usable:
            self._wake.set()
            # the questions are collected in the next turn; only then is it known whether any is under way
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            try:
                async with asyncio.timeout(self._patience):
                    await self._idle.wait()
            except TimeoutError:
                self._trip("stopped before Redis had answered")
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        self._trip("stopped")

    async def _supervise(self) -> None:
        while True:
            try:
                connection = await self._connect()
            except _FAILURES as exc:
                self.breaker.open(_now(), reason_of(exc))
            else:
                self.breaker.close(_now())
                self._asker.recovered()
                self._attempted.set()
                await self._serve(connection)
            self._attempted.set()
            await asyncio.sleep(self.breaker.pause(random.random()) / SECOND)  # noqa: S311 - jitter, not a secret

    async def _connect(self) -> Connection:
        connection: Connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_packed_command(connection.pack_command("SCRIPT LOAD", SCRIPT), check_health=False)
                self._sha = (await _read(connection)).decode("ascii")
            # it may be there and yet be too slow to be of use
            async with asyncio.timeout(self._patience):
                await connection.send_packed_command(connection.pack_command("PING"), check_health=False)
                await _read(connection)
        except TimeoutError:
            await connection.disconnect(nowait=True)
            raise TimeoutError("Redis accepted the connection but did not answer in time") from None
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def _serve(self, connection: Connection) -> None:
        """Until it breaks."""
        self._broken = asyncio.get_running_loop().create_future()
        tasks = [asyncio.create_task(self._guard(work(connection))) for work in (self._write, self._read)]
        try:
            await self._broken
        finally:
            self._trip("stopped")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await connection.disconnect(nowait=True)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except _FAILURES as exc:
            self._trip(reason_of(exc))
        except Exception as exc:
            if is_closed_transport(exc):
                self._trip("the connection was closed as it was written to")
                return
            self._log.exception("a mistake in the limits themselves")
            self._trip("a mistake in the limits themselves; the log has it")

    async def _write(self, connection: Connection) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while asks := self._asker.collect():
                await self._send(connection, asks)

    async def _send(self, connection: Connection, asks: Sequence[Ask], *, load: bool = False) -> None:
        now = time.monotonic()
        # noted before it is written: writing may block for ever, and the watchdog has to see that
        self._sent += [_Sent((), now)] * load + [_Sent(asks, now)]
        self._idle.clear()
        self._watch(self._patience)
        self.calls += 1
        commands: list[list[str | int | bytes]] = [["SCRIPT LOAD", SCRIPT]] if load else []
        commands.append(render_call(self._sha, asks))
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)

    async def _read(self, connection: Connection) -> None:
        while True:
            try:
                answer = await _read(connection)
            except exceptions.NoScriptError:
                # Redis was emptied, or another one took its place; the tokens were not charged
                if self.usable:
                    await self._send(connection, self._sent.popleft().asks, load=True)
                continue
            if not self.usable:
                return
            # taken off when it is settled: until then, a failure has to tell those who wait
            asks = self._sent[0].asks
            if asks:
                self._asker.settle(asks, parse_answer(answer, asks))
            self._sent.popleft()
            if not self._sent:
                self._idle.set()

    def _watch(self, seconds: float, *, graced: bool = False) -> None:
        if self._watchdog is None:
            # not the loop's clock: uvloop's stands still during a turn, and a long turn is not Redis' fault
            due = time.monotonic() + seconds
            self._watchdog = asyncio.get_running_loop().call_later(seconds, self._bark, due, graced)

    def _bark(self, due: float, graced: bool) -> None:
        self._watchdog = None
        if not self._sent:
            return
        now = time.monotonic()
        left = min(sent.at for sent in self._sent) + self._patience - now
        if left > 0:
            self._watch(left)
        elif now - due > _GRACE_SECONDS and not graced:
            self._watch(_GRACE_SECONDS, graced=True)
        else:
            self._trip(f"no answer within {self._patience * 1000:g} ms")

    def _trip(self, reason: str) -> None:
        """From now on Redis is not used; waiting callers get an error at once."""
        if not self.usable:
            return
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        lost = [ask for sent in self._sent for ask in sent.asks]
        self._sent.clear()
        self._idle.set()
        self.breaker.open(_now(), reason)
        self._asker.lose(lost)
        if self._broken is not None and not self._broken.done():
            self._broken.set_result(None)


async def _read(connection: Connection) -> bytes:
    # infinite: the watchdog decides how long is too long
    answer: bytes = await connection.read_response(disable_decoding=True, timeout=math.inf)
    return answer


def _now() -> float:
    return time.monotonic() * SECOND
