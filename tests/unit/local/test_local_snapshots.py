"""What is read of an agent's snapshot, and of Envoy's latencies."""

from dataclasses import replace

from resilientslice.agent.admin import parse_p99
from resilientslice.agent.answers import Ejection, EnvoyStatus, Snapshot
from resilientslice.canary.state import Attempts
from resilientslice.local.housekeeping import answers_of, ejected_of
from resilientslice.local.proxy.envoy import counted_of
from resilientslice.local.proxy.traffic import Answers
from resilientslice.planning.observed import Envoys
from resilientslice.render.names import Track


def snapshot(clusters: dict[str, dict[str, int]], *ejected: tuple[str, str]) -> Snapshot:
    return Snapshot(
        digest="d",
        epoch=(1, 1),
        acked="d",
        rejected=None,
        durable=True,
        durable_reason="",
        envoy=EnvoyStatus(connected=1, version="1", uptime=1, live=True, error=""),
        clusters=clusters,
        http={},
        ratelimit={},
        ejected=tuple(Ejection(cluster, host) for cluster, host in ejected),
    )


CANARY = {"hosts_rq_success": 7, "hosts_rq_error": 2, "hosts_rq_active": 1, "upstream_rq_2xx": 3}
STABLE = {"hosts_rq_success": 50, "upstream_rq_2xx": 40, "upstream_rq_4xx": 5, "upstream_rq_5xx": 1}


def test_the_tries_of_a_canary_are_those_of_its_hosts() -> None:
    seen = snapshot({"api-canary": CANARY, "web-canary": {"hosts_rq_success": 1}, "api-stable": STABLE})
    assert counted_of(replace(seen, p99={"api-canary": 12.5}), {"api-canary", "web-canary", "none-canary"}) == Envoys(
        attempts=Attempts(good=8, bad=2, p99=12.5), active=1
    )
    assert counted_of(seen, ()) == Envoys(), "nobody asks when there is no canary"
    assert answers_of(seen) == {
        ("api", Track.CANARY): Answers(ok=7, server_error=2),
        ("web", Track.CANARY): Answers(ok=1),
        ("api", Track.STABLE): Answers(ok=40, client_error=5, server_error=1),
    }


def test_ejected_hosts_are_told_by_service_and_by_track() -> None:
    seen = snapshot({}, ("web-api-stable", "127.0.0.1:1"), ("web-api-canary", "127.0.0.1:2"), ("other", "x"))
    hosts = [(one.service, one.host) for one in counted_of(seen, ()).ejections]
    assert hosts[:2] == [("web-api", "127.0.0.1:1"), ("web-api", "127.0.0.1:2")]
    assert ejected_of(seen) == {
        ("web-api", Track.STABLE): ("127.0.0.1:1",),
        ("web-api", Track.CANARY): ("127.0.0.1:2",),
    }


def test_p99_is_the_slowest_of_the_last_interval() -> None:
    def cluster(name: str, value: float | None) -> dict[str, object]:
        values = [{"interval": 1, "cumulative": 1}, {"interval": value, "cumulative": 99}]
        return {"name": f"cluster.{name}.upstream_rq_time", "values": values}

    found = [cluster("a-canary", 12.5), cluster("b-canary", None), cluster("c-canary", 40)]
    stats = {"supported_quantiles": [50, 99], "computed_quantiles": found}
    p99 = parse_p99({"stats": [{"histograms": stats}, {"name": "other"}]})
    assert p99 == {"a-canary": 12.5, "c-canary": 40}
    attempts = counted_of(replace(snapshot({}), p99=p99), ("a-canary", "b-canary", "c-canary")).attempts
    assert attempts is not None
    assert attempts.p99 == 40
    assert parse_p99({"stats": [{"histograms": {"supported_quantiles": [50]}}]}) == {}
    attempts = counted_of(snapshot({}), ("a-canary",)).attempts
    assert attempts is not None
    assert attempts.p99 is None
