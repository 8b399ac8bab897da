"""The limiter and a real Redis: exact over replicas, and at full speed while Redis stalls, dies or is half-alive."""

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from slicekit.limits.limiter import Limiter, LimitsAsideError
from slicekit.limits.source import LimitsFile

LIMITS = {
    "default": {"requestsPerSecond": 10, "burst": 20},
    "tenants": [
        {"name": "gold", "requestsPerSecond": 1000, "burst": 500},
    ],
    "replicas": 2,
}
PATIENT = 2.0
"""Seconds. Where Redis is well, a busy machine must not make it look ill."""


class Valkey:
    """A server of one test, which may be stalled and killed."""

    def __init__(self, folder: Path, port: int, binary: Path) -> None:
        self.port, self._folder, self._binary = port, folder, binary
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        command = [self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=self._folder)
        async with asyncio.timeout(90):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                await asyncio.sleep(0.02)

    def stall(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
async def valkey(tmp_path, valkey_binary, unused_port):
    server = Valkey(tmp_path, unused_port(), valkey_binary)
    await server.start()
    yield server
    server.kill()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "api.json"
    path.write_text(json.dumps(LIMITS))
    return path


@pytest.fixture
async def limiter(file):
    """Makes replicas: `await limiter(port)`."""
    made = []

    async def make(port, *, patience=PATIENT, clock=time.monotonic, **changes):
        if changes:
            file.write_text(json.dumps(LIMITS | changes))
        url = f"redis://127.0.0.1:{port}/0"
        registry = CollectorRegistry()
        one = Limiter(
            LimitsFile(file),
            url,
            app="api",
            registry=registry,
            log=structlog.get_logger(),
            patience=patience,
            clock=clock,
        )
        made.append(one)
        one.registry = registry
        await one.open()
        return one

    yield make
    for one in made:
        await one.close()


async def ask(limiter, tenant="gold"):
    return await limiter.charge({"X-Tenant": tenant})


async def offer(limiter, *, per_second, seconds, tenant="gold", times=None):
    """Decisions, with requests sent evenly however long the answers take; `times` gets (sent, answered, allowed)."""
    loop = asyncio.get_running_loop()
    begun, answers = loop.time(), []
    tasks = set()

    async def one():
        asked = time.monotonic()
        answers.append(answer := await ask(limiter, tenant))
        if times is not None:
            times.append((asked, time.monotonic(), answer.allowed))

    sent = 0
    while (gone := loop.time() - begun) < seconds:
        while sent < gone * per_second:
            sent += 1
            task = loop.create_task(one())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(0.002)
    await asyncio.gather(*tasks)
    return answers


def admitted(answers):
    return sum(answer.allowed for answer in answers)


def modes(answers):
    return Counter(answer.mode.value for answer in answers)


async def exact_again(limiter, eventually):
    async def is_exact():
        return limiter.exact

    await eventually(is_exact)


async def degraded(limiter, eventually):
    """Asks until Redis has been given up."""

    async def is_degraded():
        await ask(limiter)
        return not limiter.exact

    await eventually(is_degraded)


async def test_two_replicas_together_hold_the_limit_within_a_percent(limiter, valkey):
    """Far more is asked for than is let in, so that a busy machine asks for enough, too."""
    wanted = {"tenants": [{"name": "gold", "requestsPerSecond": 300, "burst": 1500}]}
    replicas = [await limiter(valkey.port, **wanted) for _ in range(2)]
    begun, times = time.monotonic(), []
    found = await asyncio.gather(*(offer(one, per_second=1500, seconds=3, times=times) for one in replicas))
    seconds = time.monotonic() - begun
    answers = [answer for part in found for answer in part]
    assert modes(answers) == {"exact": len(answers)}
    assert admitted(answers) <= 1.01 * (1500 + 300 * seconds)
    # at a refusal nothing is left, so all there was until then was given; what a burst lasts a machine may stand still
    first = min(answered for _, answered, _ in times)
    refused = [asked for asked, _, allowed in times if not allowed]
    least = 1500 + 300 * (max(refused) - first) if refused else len(answers)
    assert admitted(answers) >= 0.99 * least - 5
    assert sum(one.calls for one in replicas) < 0.2 * len(answers)


async def test_many_tenants_of_one_turn_are_asked_for_in_one_call(limiter, valkey):
    one = await limiter(valkey.port)
    await asyncio.gather(*(ask(one, f"t{i}") for i in range(200)))
    assert one.calls == 1
    await asyncio.gather(*(ask(one, f"u{i}") for i in range(600)))
    assert one.calls == 4


async def test_a_tenant_at_rest_costs_redis_nothing(limiter, valkey, eventually):
    one = await limiter(valkey.port, default={"requestsPerSecond": 100, "burst": 20})
    await asyncio.gather(*(ask(one, f"t{i}") for i in range(500)))
    async with Redis(port=valkey.port, protocol=2) as redis:

        async def empty():
            return await redis.dbsize() == 0

        await eventually(empty)


async def test_a_stalled_redis_costs_one_pause_then_nothing(limiter, valkey, eventually):
    one = await limiter(valkey.port, patience=0.05)
    await offer(one, per_second=2000, seconds=1)
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


async def test_a_busy_tenant_is_on_one_lease(limiter, valkey):
    one = await limiter(valkey.port, tenants=[{"name": "gold", "requestsPerSecond": 100_000, "burst": 100_000}])
    await offer(one, per_second=3000, seconds=0.5)
    assert one.registry.get_sample_value("rate_limit_leased_tokens_total", {"app": "api"}) > 100
    assert one.registry.get_sample_value("rate_limit_leases", {"app": "api"}) <= 1


@pytest.mark.parametrize(("choice", "allowed"), [("Allow", True), ("Deny", False)])
async def test_what_becomes_of_requests_is_the_users_choice(limiter, unused_port, choice, allowed):
    one = await limiter(unused_port(), onRedisFailure=choice)
    answers = [await ask(one, "bob") for _ in range(50)]
    assert admitted(answers) == (50 if allowed else 0)
    assert modes(answers) == {"open" if allowed else "closed": 50}


async def test_leases_are_given_back_at_the_end(limiter, valkey):
    slow = {"name": "slow", "requestsPerSecond": 1, "burst": 400}
    stands = time.monotonic()
    one = await limiter(valkey.port, tenants=[slow], clock=lambda: stands)  # no lease runs out
    for _ in range(31):
        assert (await ask(one, "slow")).allowed
    assert one.registry.get_sample_value("rate_limit_leased_tokens_total", {"app": "api"}) > 0
    await one.close()
    assert one.registry.get_sample_value("rate_limit_returned_tokens_total", {"app": "api"}) > 0
    two = await limiter(valkey.port)
    assert (await ask(two, "slow")).remaining >= 400 - 32


async def test_limits_are_reloaded_and_broken_ones_are_not(limiter, valkey, file, eventually):
    one = await limiter(valkey.port)
    file.write_text(json.dumps(LIMITS | {"default": {"requestsPerSecond": 77, "burst": 99}}))

    async def reloaded():
        return (await ask(one, "bob")).per_second == 77

    await eventually(reloaded)
    file.write_text("{")

    async def said():
        try:
            await one.check()
        except LimitsAsideError as exc:
            return "the former limits are in force" in str(exc) and "Invalid JSON" in str(exc)
        return False

    await eventually(said)
    assert (await ask(one, "bob")).per_second == 77
    assert one.registry.get_sample_value("rate_limit_config_stale", {"app": "api"}) == 1
    file.write_text(json.dumps(LIMITS | {"enabled": False}))

    async def off():
        return await ask(one, "bob") is None

    await eventually(off)
    assert one.registry.get_sample_value("rate_limit_config_stale", {"app": "api"}) == 0


async def test_a_caller_that_has_gone_takes_no_token(limiter, valkey):
    one = await limiter(valkey.port)
    gone = [asyncio.create_task(ask(one, "bob")) for _ in range(15)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    answers = [await ask(one, "bob") for _ in range(20)]
    assert admitted(answers) == 20
