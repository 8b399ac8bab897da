"""The limiter while Redis stalls, dies, comes back or is half-alive: at full speed, and exact again afterwards."""

import asyncio
import contextlib
import re
import time

import pytest
from redis.asyncio import Redis
from tests.services.limiting import admitted, ask, degraded, exact_again, modes, offer

from slicekit.limits.limiter import LimitsAsideError


async def test_a_stalled_redis_costs_one_pause_then_nothing(limiter, valkey, eventually):
    one = await limiter(valkey.port, patience=0.05)
    await offer(one, per_second=2000, seconds=1)
    await exact_again(one, eventually)  # a busy machine may have made Redis look ill; no probe is under way now
    valkey.stall()
    await degraded(one, eventually)
    calls, begun = one.calls, time.monotonic()
    stalled = await offer(one, per_second=2000, seconds=2)
    seconds = time.monotonic() - begun
    assert not one.exact
    assert one.calls == calls, "nobody waits for it any more"
    assert modes(stalled) == {"local": len(stalled)}
    # alone of two replicas it lets through a half, and no fresh burst: the bucket was empty
    assert admitted(stalled) <= 1.2 * 500 * max(seconds, 2)
    with pytest.raises(LimitsAsideError, match="each replica counts its share by itself"):
        await one.check()
    assert one.registry.get_sample_value("rate_limit_degraded", {"app": "api"}) == 1

    valkey.resume()
    await exact_again(one, eventually)
    await one.check()
    assert one.registry.get_sample_value("rate_limit_degraded", {"app": "api"}) == 0

    async def exactly():
        return (await ask(one, "new")).mode.value == "exact"

    await eventually(exactly)


async def test_a_stalled_redis_that_accepts_connections_is_not_used(limiter, valkey):
    valkey.stall()
    one = await limiter(valkey.port, patience=0.05)
    calls = one.calls
    answers = await offer(one, per_second=500, seconds=0.5)
    assert modes(answers) == {"local": len(answers)}
    assert one.calls == calls, "nobody waits for it"


async def test_who_waited_in_vain_is_not_asked_for_again(limiter, valkey, eventually):
    one = await limiter(valkey.port, patience=0.05)
    await exact_again(one, eventually)
    valkey.stall()
    lost = await asyncio.gather(*(ask(one) for _ in range(15)))
    assert (admitted(lost), modes(lost)) == (15, {"local": 15})
    valkey.resume()

    async def exactly():
        again = await ask(one)
        return again.allowed and again.mode.value == "exact"

    await eventually(exactly)
    assert one.registry.get_sample_value("rate_limit_leased_tokens_total", {"app": "api"}) == 0


async def test_a_pause_of_our_own_is_not_blamed_on_redis(limiter, valkey):
    one = await limiter(valkey.port, patience=0.5)
    waiting = asyncio.create_task(ask(one))
    while not one.calls:
        await asyncio.sleep(0)
    time.sleep(2)
    assert (await waiting).mode.value == "exact"
    assert one.exact


async def test_a_redis_that_was_killed_comes_back_empty_and_is_used(limiter, valkey, eventually):
    one = await limiter(valkey.port)
    await ask(one)
    valkey.kill()
    await degraded(one, eventually)
    assert (await ask(one)).mode.value == "local"
    await valkey.start()
    await exact_again(one, eventually)
    assert (await ask(one, "new")).mode.value == "exact"


async def test_a_script_that_was_forgotten_is_loaded_again(limiter, valkey):
    one = await limiter(valkey.port)
    async with Redis(port=valkey.port, protocol=2) as redis:
        for _ in range(3):
            await redis.script_flush()
            answers = await asyncio.gather(*(ask(one, f"t{i}") for i in range(50)))
            assert modes(answers) == {"exact": 50}
    assert one.exact


async def test_a_redis_that_cannot_count_is_given_up(limiter, valkey, eventually):
    one = await limiter(valkey.port)
    async with Redis(port=valkey.port, protocol=2) as redis:
        await redis.config_set("maxmemory", 1)
        answer = await ask(one, "bob")
        assert (answer.allowed, answer.mode.value) == (True, "local")
        with pytest.raises(LimitsAsideError, match="maxmemory"):
            await one.check()
        await redis.config_set("maxmemory", 0)
    await exact_again(one, eventually)


@pytest.mark.parametrize("reply", [b"", b"+PONG\r\n", b"-LOADING Redis is loading\r\n", b"garbage\r\n", None])
async def test_what_answers_something_else_is_not_used(limiter, reply, unused_port):
    """Half-alive: it accepts, and then says nothing, nonsense, or hangs up."""

    async def talk(reader, writer):
        with contextlib.suppress(ConnectionError):
            while reply is not None and await reader.read(4096):
                writer.write(reply)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    one = await limiter(server.sockets[0].getsockname()[1], patience=0.05)
    begun = time.monotonic()
    answers = [await ask(one, "bob") for _ in range(30)]
    assert modes(answers) == {"local": 30}
    # a half of 20, and of what came back meanwhile
    assert admitted(answers) in range(10, 12 + int(10 * (time.monotonic() - begun)))
    assert not one.exact
    server.close()


@pytest.mark.parametrize("answer", [b"$3\r\n1 2\r\n", b":7\r\n", b"$5\r\n1 x 3\r\n", b"-ERR no\r\n", b"?!\r\n", None])
async def test_an_answer_that_makes_no_sense_leaves_nobody_waiting(limiter, answer):
    """It passes the probe, and fails in use."""
    replies = {b"SCRIPT": b"$3\r\nabc\r\n", b"PING": b"+PONG\r\n", b"EVALSHA": answer}

    async def talk(reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                known = next((reply for word, reply in replies.items() if word in data), b"")
                if known is None:
                    break
                writer.write(known or b"+OK\r\n" * len(re.findall(rb"\*\d+\r\n", data)))
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    one = await limiter(server.sockets[0].getsockname()[1], patience=1.0)
    assert one.exact
    async with asyncio.timeout(90):
        answers = await asyncio.gather(*(ask(one, f"t{i}") for i in range(20)))
    assert modes(answers) == {"local": 20}
    server.close()
