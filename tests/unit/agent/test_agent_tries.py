"""What the hosts of a cluster were asked: the only place where a canary's hidden failures are seen."""

from resilientslice.agent.admin import parse_tries


def host(**stats: int) -> dict[str, object]:
    return {"stats": [{"name": name, "value": str(value)} for name, value in stats.items()]}


def test_the_tries_of_all_hosts_of_a_cluster_are_added_up() -> None:
    data = {
        "cluster_statuses": [
            {"name": "api-canary", "host_statuses": [host(rq_success=3, rq_error=2, cx_total=9), host(rq_error=5)]},
            {"name": "api-stable", "host_statuses": [{"stats": [{"name": "rq_success"}]}]},
            {"name": "api-failover"},
        ]
    }
    assert parse_tries(data) == {
        "api-canary": {"hosts_rq_success": 3, "hosts_rq_error": 7},
        "api-stable": {"hosts_rq_success": 0},
    }


def test_an_empty_answer_gives_nothing() -> None:
    assert parse_tries({}) == {}
