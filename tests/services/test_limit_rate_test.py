"""`scripts/rate-test.sh` against a service that limits, and against one that doesn't."""

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

SCRIPT = Path(__file__).parents[2] / "scripts" / "rate-test.sh"


async def rate_test(*arguments):
    process = await asyncio.create_subprocess_exec(
        SCRIPT, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


def figures(out):
    rows = (line.split() for line in out.splitlines())
    return {row[0]: int(row[1]) for row in rows if row[1].isdigit()}


@pytest.fixture
async def shop(launch, redis, valkey_port, tmp_path):
    path = tmp_path / "api.json"
    path.write_text(json.dumps({"default": {"requestsPerSecond": 5, "burst": 50}}))
    redis_url = f"redis://127.0.0.1:{valkey_port}/0"
    env = {"RATE_LIMITS_FILE": str(path), "REDIS_URL": redis_url, "RATE_LIMITS_PATIENCE": "2s"}
    return (await launch(web.Application(), "api", env)).url


async def test_a_limited_tenant(shop):
    code, out, err = await rate_test("-t", "bob", "-r", "80", "-s", "2", f"{shop}/")
    found = figures(out)
    assert (code, err) == (0, "")
    assert found["sent"] == 161
    assert found["expected"] >= 60, "two seconds of 5 and a burst of 50, and more if sending took longer"
    assert found["allowed"] + found["limited"] == 161


async def test_what_the_answers_do_not_say_can_be_given(launch):
    plain = (await launch(web.Application(), "api")).url
    code, out, _ = await rate_test("-r", "20", "-s", "1", f"{plain}/")
    assert code == 0
    assert "expected  unknown" in out
    code, out, _ = await rate_test("-r", "20", "-s", "1", "--limit", "5", "--burst", "5", f"{plain}/")
    assert (code, figures(out)["allowed"]) == (1, 21)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "give the URL"),
        (["-r", "0", "http://x/"], "--rate"),
        (["-s", "301", "http://x/"], "--seconds"),
        (["-t", "a b", "http://x/"], "--tenant"),
        (["-r"], "needs a value"),
        (["--nonsense"], "no option"),
        (["http://127.0.0.1:1/"], "does not answer"),
    ],
)
async def test_wrong_arguments(arguments, problem):
    code, out, err = await rate_test(*arguments)
    assert (code, out) == (2, "")
    assert problem in err


async def test_help():
    code, out, _ = await rate_test("--help")
    assert code == 0
    assert "Examples:" in out
