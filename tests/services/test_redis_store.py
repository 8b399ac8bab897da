"""What of Redis counts as an outage, seen with the event loop that services run on."""

import asyncio

import pytest
import uvloop

from slicekit import Environment, Kit, StoreUnavailableError
from slicekit.health import is_closed_transport
from slicekit.redis_store import RedisStore


def written_after_close() -> BaseException:
    """The error of a write to a connection that is closed by now."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def write() -> BaseException:
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        transport = writer.transport
        transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        try:
            transport.writelines([b"*1\r\n", b"$4\r\nPING\r\n"])
        except RuntimeError as error:
            return error
        finally:
            server.close()
            await server.wait_closed()
        raise AssertionError("uvloop took the write; is the outage another error now?")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(write())


def test_a_connection_closed_as_it_is_written_to_is_an_outage() -> None:
    error = written_after_close()
    assert is_closed_transport(error)
    store = RedisStore(Kit.from_env("api", Environment({"PORT": "1", "REDIS_URL": "redis://127.0.0.1:1/0"})))
    with pytest.raises(StoreUnavailableError, match="redis is not available"), store.guard():
        raise error


def test_another_mistake_passes() -> None:
    store = RedisStore(Kit.from_env("api", Environment({"PORT": "1", "REDIS_URL": "redis://127.0.0.1:1/0"})))
    with pytest.raises(RuntimeError, match="of ours"), store.guard():
        raise RuntimeError("a mistake of ours")
