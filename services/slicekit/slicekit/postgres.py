"""PostgreSQL for a service: a bounded pool, one schema of its own, and no wait without an end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection, conninfo, errors, sql
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from slicekit.context import current
from slicekit.health import reason_of
from slicekit.kit import Kit
from slicekit.migrations import apply_migrations, load_migrations
from slicekit.problems import StoreUnavailableError

Result = TypeVar("Result")

_NAME = "postgres"
_MIGRATION_SECONDS = 60.0
# What says "not now" rather than "not so". Some of it comes as an InternalError: a transaction that was held open too
# long, because this process stood still, and a server that has become a standby.
_UNAVAILABLE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.IdleInTransactionSessionTimeout,
    errors.TransactionTimeout,
    errors.ReadOnlySqlTransaction,
    errors.InFailedSqlTransaction,
    PoolTimeout,
    TooManyRequests,
)


class Postgres:
    """The store at DATABASE_URL. `schema` holds the tables of this service and is first on the search path.

    Environment: DATABASE_URL, DB_POOL_SIZE (10), DB_CONNECT_TIMEOUT (2s), DB_TIMEOUT (2s for a whole transaction,
    waiting for a connection included).
    """

    name = _NAME

    def __init__(self, kit: Kit, *, schema: str, migrations: str) -> None:
        self._kit = kit
        self._schema = schema
        self._migrations = load_migrations(migrations)
        self._url = kit.env.url("DATABASE_URL", "postgresql", "postgres", example="postgresql://user@host:5432/shop")
        self._size = kit.env.integer("DB_POOL_SIZE", 10, low=1, high=200)
        self._connect_timeout = kit.env.seconds("DB_CONNECT_TIMEOUT", 2.0, low=0.05, high=60)
        self._timeout = kit.env.seconds("DB_TIMEOUT", 2.0, low=0.01, high=60)
        self._pool: AsyncConnectionPool[AsyncConnection] | None = None
        self._running: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Migrates, then fills the pool."""
        connection = await self._connect()
        async with connection:
            async with asyncio.timeout(_MIGRATION_SECONDS):
                applied = await apply_migrations(connection, self._schema, self._migrations)
        if applied:
            self._kit.log.info("migrated", schema=self._schema, applied=applied)
        pool = AsyncConnectionPool(
            self._conninfo(),
            min_size=1,
            max_size=self._size,
            max_waiting=self._size * 20,
            timeout=self._timeout,
            reconnect_timeout=5.0,
            kwargs={"autocommit": True},
            configure=self._configure,
            check=AsyncConnectionPool.check_connection,
            open=False,
            name=self._kit.settings.app,
        )
        try:
            await pool.open(wait=True, timeout=self._connect_timeout)
        except PoolTimeout:
            await pool.close(timeout=1.0)
            raise
        self._pool = pool

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close(timeout=2.0)

    async def check(self) -> None:
        async def ask(connection: AsyncConnection) -> None:
            await connection.execute("SELECT 1")

        try:
            await self.transact(ask)
        except StoreUnavailableError as exc:
            raise ConnectionError(exc.reason) from exc

    async def transact(
        self, work: Callable[[AsyncConnection], Awaitable[Result]], *, within: float | None = None
    ) -> Result:
        """Runs `work` in one transaction. StoreUnavailableError if it can't be finished in the time there is:
        DB_TIMEOUT, what the request has left, and `within` seconds.

        Its outcome is then unknown, as whenever a commit is not acknowledged: callers repeat with the same key.
        """
        limit = self._timeout if within is None else min(self._timeout, within)
        if (context := current()) is not None:
            limit = min(limit, context.deadline - self._kit.clock())
        # A task of its own: a server that has stalled can't be waited for, not even to cancel the statement.
        task = asyncio.create_task(self._transact(work))
        self._running.add(task)
        task.add_done_callback(self._forget)
        done, _ = await asyncio.wait({task}, timeout=max(0.0, limit))
        if not done:
            task.cancel()
            raise StoreUnavailableError(_NAME, f"no answer within {limit * 1000:.0f} ms")
        try:
            return task.result()
        except _UNAVAILABLE as exc:
            raise StoreUnavailableError(_NAME, reason_of(exc)) from exc

    async def _transact(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        if self._pool is None:
            raise StoreUnavailableError(_NAME, "not connected yet")
        async with self._pool.connection() as connection, connection.transaction():
            return await work(connection)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()

    async def _connect(self) -> AsyncConnection:
        async with asyncio.timeout(self._connect_timeout * 2):
            return await AsyncConnection.connect(self._conninfo(), autocommit=True)

    async def _configure(self, connection: AsyncConnection) -> None:
        """Limits on the server's side too, so that an abandoned statement ends there."""
        milliseconds = str(int(self._timeout * 1000))
        await connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(self._schema)))
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            await connection.execute("SELECT set_config(%s, %s, false)", [name, milliseconds])

    def _conninfo(self) -> str:
        return conninfo.make_conninfo(
            self._url,
            connect_timeout=max(2, round(self._connect_timeout)),
            application_name=self._kit.settings.app,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=10_000,
        )
