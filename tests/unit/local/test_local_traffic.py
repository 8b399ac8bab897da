"""Rates from counters, and limited tenants from the access log."""

import json
from pathlib import Path

import pytest

from resilientslice.local.proxy import traffic
from resilientslice.local.proxy.traffic import AccessLog, Answers, Rates
from resilientslice.render.names import Track

KEY = ("api", Track.STABLE)


def test_rate_is_the_difference_over_the_time_and_survives_a_new_envoy() -> None:
    rates = Rates()
    rates.update({KEY: Answers(ok=100)}, 10.0)
    assert rates.by_track == {}
    rates.update({KEY: Answers(ok=130, client_error=10, server_error=10)}, 12.0)
    assert rates.by_track == {KEY: 25.0}
    rates.update({KEY: Answers(ok=8)}, 14.0)
    assert rates.by_track == {KEY: 4.0}
    rates.update({KEY: Answers(ok=8)}, 14.0)
    assert rates.by_track == {KEY: 4.0}


def line(status: int, tenant: str | None) -> str:
    return json.dumps({"code": status, "tenant": tenant, "bytes_sent": 429}) + "\n"


def test_counts_refusals_by_tenant_once(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text(line(429, "before"))
    log = AccessLog(path)
    with path.open("a") as file:
        file.write(
            line(429, "a") + line(200, "a") + line(429, "b") + line(429, None) + "429 no json\n" + line(429, "a")[:9]
        )
        file.flush()
        log.read()
        assert log.limited == {"a": 1, "b": 1, "anonymous": 1}
        file.write(line(429, "a")[9:])
    log.read()
    log.read()
    assert log.limited == {"a": 2, "b": 1, "anonymous": 1}


def test_a_large_log_is_moved_aside_and_followed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "MAX_LOG_BYTES", 200)
    path = tmp_path / "access.log"
    log = AccessLog(path)
    log.read()
    path.write_text(line(429, "a") * 10)
    log.read()
    assert path.stat().st_size == 0
    assert (tmp_path / "access.log.1").stat().st_size > 200
    path.write_text(line(429, "a"))
    log.read()
    assert log.limited["a"] == 11
