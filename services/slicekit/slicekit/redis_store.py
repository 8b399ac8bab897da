"""Redis for a service: a bounded pool, a time-out on every operation, one repeat on a dropped connection."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from slicekit.health import is_closed_transport, reason_of
from slicekit.kit import Kit
from slicekit.problems import StoreUnavailableError

_UNAVAILABLE = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
    exceptions.NoPermissionError,
    exceptions.ExecAbortError,
    OSError,
    TimeoutError,
)
# Answers without a class of their own that speak of the server's state, not of the command: a file that can't be
# written, too few replicas, a script that runs for ever.
_STATES = ("MISCONF ", "NOREPLICAS ", "BUSY ")


class RedisStore:
    """The store at REDIS_URL.

    Environment: REDIS_URL, REDIS_TIMEOUT (`timeout`, for one operation), REDIS_POOL_SIZE (50).
    """

    name = "redis"

    def __init__(self, kit: Kit, *, timeout: float = 0.5) -> None:
        url = kit.env.url("REDIS_URL", "redis", "rediss", example="redis://host:6379/0")
        self.timeout = seconds = kit.env.seconds("REDIS_TIMEOUT", timeout, low=0.01, high=60)
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=kit.env.integer("REDIS_POOL_SIZE", 50, low=1, high=1000),
            timeout=seconds,
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            socket_keepalive=True,
            # Once, at once: a pooled connection that the server has closed meanwhile. A time-out is not repeated.
            retry=Retry(NoBackoff(), 1, supported_errors=(exceptions.ConnectionError,)),
            client_name=kit.settings.app,
            decode_responses=True,
            # What others wrote need not be UTF-8: it must be readable all the same, and come out as it went in.
            encoding_errors="surrogateescape",
            protocol=2,
        )
        self.client: Redis = Redis(connection_pool=self._pool)

    async def open(self) -> None:
        await self.check()

    async def close(self) -> None:
        await self.client.aclose()
        await self._pool.aclose()

    async def check(self) -> None:
        await self.client.ping()

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Turns "not there" and "too slow" into StoreUnavailableError; mistakes of ours pass as they are."""
        try:
            yield
        except _UNAVAILABLE as exc:
            raise StoreUnavailableError(self.name, reason_of(exc)) from exc
        except RuntimeError as exc:
            if not is_closed_transport(exc):
                raise
            raise StoreUnavailableError(self.name, "the connection was closed as it was written to") from exc
        except exceptions.ResponseError as exc:
            if not str(exc).startswith(_STATES):
                raise
            raise StoreUnavailableError(self.name, reason_of(exc)) from exc
