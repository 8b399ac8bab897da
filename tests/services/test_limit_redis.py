"""The limiter and a real Redis: exact over replicas, and what of it is the user's choice."""

import asyncio
import json
import time

import pytest
from redis.asyncio import Redis
from tests.services.limiting import LIMITS, admitted, ask, modes, offer

from slicekit.limits.limiter import LimitsAsideError


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


async def test_limits_are_reloaded_and_broken_ones_are_not(limiter, valkey, limits_file, eventually):
    one = await limiter(valkey.port)
    limits_file.write_text(json.dumps(LIMITS | {"default": {"requestsPerSecond": 77, "burst": 99}}))

    async def reloaded():
        return (await ask(one, "bob")).per_second == 77

    await eventually(reloaded)
    limits_file.write_text("{")

    async def said():
        try:
            await one.check()
        except LimitsAsideError as exc:
            return "the former limits are in force" in str(exc) and "Invalid JSON" in str(exc)
        return False

    await eventually(said)
    assert (await ask(one, "bob")).per_second == 77
    assert one.registry.get_sample_value("rate_limit_config_stale", {"app": "api"}) == 1
    limits_file.write_text(json.dumps(LIMITS | {"enabled": False}))

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
