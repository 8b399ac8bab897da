"""The demo's arithmetic: a verdict must not be able to come out right by accident."""

import json

import pytest
from click.testing import CliRunner

from resilientslice.cli import cli
from resilientslice.demo.limits import Count, count_of, in_time
from resilientslice.demo.load import Answer, Client, Request, Tally
from resilientslice.demo.report import Measured, Result, Verdict, all_hold, write_report
from resilientslice.demo.runner import CLAIMS, Claim, run_claims
from resilientslice.demo.stage import ClaimError, until
from resilientslice.demo.traffic import ADMITTED, LIMITED


def at(began: float, ended: float, status: int = ADMITTED) -> Answer:
    return Answer(status, ended - began, began=began)


def test_a_rate_counts_from_the_first_request_to_the_last_answer() -> None:
    tally = Tally([at(10.0, 10.5, 200), at(11.0, 12.0, 200), at(10.5, 14.0, 503)])
    assert tally.seconds == 4.0
    assert tally.rate(200) == 0.5
    assert tally.only(503).total == 1
    assert (Tally([]).seconds, Tally([]).rate(200)) == (0.0, 0.0)


LIMIT = {"per_second": 10, "burst": 20}


def test_what_a_limit_lets_in_is_known_to_the_length_of_the_requests() -> None:
    admitted = [at(100 + n / 10, 100.1 + n / 10) for n in range(40)]
    refused = [at(102.05, 102.1, LIMITED), at(104.0, 104.1, LIMITED)]
    counted = count_of(Tally([*refused, *admitted]), **LIMIT)
    assert counted.admitted == 40
    assert counted.least == pytest.approx(20 + 10 * (104.0 - 100.1) - 1)
    assert counted.most == pytest.approx(20 + 10 * (104.1 - 100.0))


@pytest.mark.parametrize(("admitted", "off"), [(95, 0.0), (100, 0.0), (105, 5.0), (90, 5.0)])
def test_a_limit_is_off_by_what_is_outside_of_that(admitted: int, off: float) -> None:
    assert Count(admitted, least=95, most=100).off == pytest.approx(off)


def test_a_limit_that_refuses_nobody_is_not_measured() -> None:
    with pytest.raises(ClaimError, match="none of 3 requests was over the limit"):
        count_of(Tally([at(n, n + 0.1) for n in range(3)]), **LIMIT)


def test_only_what_is_let_in_and_answered_in_time_counts_as_throughput() -> None:
    tally = Tally([at(0, 0.01), at(0, 0.5), at(0, 0.6), at(0, 0.01, LIMITED)])
    assert in_time(tally) == 0.5
    assert in_time(Tally([at(0, 0.01, 503)])) == 1, "never 0"


def answer(status: int = 200, seconds: float = 0.01, *hops: str) -> Answer:
    return Answer(status, seconds, hops)


def test_a_tally_counts_what_failed_and_says_why() -> None:
    tally = Tally([answer(200), answer(304), answer(429), answer(503), Answer(0, 1.0, error="TimeoutError")])
    assert tally.total == 5
    assert tally.failed == 3
    assert tally.failures() == "429 x 1, 503 x 1, no answer (TimeoutError) x 1"
    assert tally.explain("x") == "x (429 x 1, 503 x 1, no answer (TimeoutError) x 1)"
    assert Tally([answer(200)]).explain("x") == "x"


def test_a_share_counts_only_what_succeeded() -> None:
    tally = Tally([answer(200, 0.1, "api@canary"), answer(200, 0.1, "api@stable"), answer(503, 0.1, "api@canary")])
    assert tally.share("api@canary") == 50.0
    assert Tally([answer(503)]).share("api@canary") == 0.0


@pytest.mark.parametrize(("percent", "seconds"), [(50, 0.5), (99, 0.99), (100, 1.0), (1, 0.01)])
def test_a_percentile_is_the_nearest_rank(percent: float, seconds: float) -> None:
    tally = Tally([answer(200, n / 100) for n in range(100, 0, -1)])
    assert tally.percentile(percent) == pytest.approx(seconds)


def test_a_percentile_of_nothing_is_zero() -> None:
    assert Tally([]).percentile(99) == 0.0


async def test_no_answer_is_counted_not_raised(unused_tcp_port: int) -> None:
    async with Client(f"http://127.0.0.1:{unused_tcp_port}") as client:
        refused = await client.send(Request("GET", "/"))
    assert (refused.status, refused.succeeded) == (0, False)
    assert refused.error


async def test_waiting_gives_up_and_says_what_for() -> None:
    async def never() -> bool:
        return False

    with pytest.raises(ClaimError, match=r"a thing did not happen within 0\.1 s"):
        await until(never, within=0.1, what="a thing")


def result(verdict: Verdict) -> Result:
    return Result("claim", "measured", "bar", verdict, 1.0)


def test_the_report_has_the_four_documented_fields(tmp_path) -> None:
    path = tmp_path / "demo" / "report.json"
    write_report([result(Verdict.PASS), result(Verdict.FAIL)], path)
    assert json.loads(path.read_text()) == [
        {"claim": "claim", "measured": "measured", "bar": "bar", "verdict": "pass"},
        {"claim": "claim", "measured": "measured", "bar": "bar", "verdict": "fail"},
    ]
    assert [entry.name for entry in path.parent.iterdir()] == ["report.json"]


@pytest.mark.parametrize(
    ("verdicts", "holds"),
    [([], False), ([Verdict.PASS], True), ([Verdict.PASS, Verdict.FAIL], False)],
)
def test_nothing_measured_is_nothing_proved(verdicts: list[Verdict], holds: bool) -> None:
    assert all_hold([result(verdict) for verdict in verdicts]) is holds


async def test_a_claim_that_breaks_fails_and_lets_the_others_be_measured(monkeypatch) -> None:
    async def breaks(stage) -> Measured:
        raise ClaimError("nothing was ejected")

    async def misses(stage) -> Measured:
        return Measured("7 failed", holds=False)

    async def holds(stage) -> Measured:
        return Measured("0 failed", holds=True)

    claims = [Claim(name, "0 failed", measure) for name, measure in (("a", breaks), ("b", misses), ("c", holds))]
    monkeypatch.setattr("resilientslice.demo.runner.CLAIMS", claims)
    said: list[str] = []
    results = await run_claims(stage=None, say=said.append)  # type: ignore[arg-type]
    assert [r.verdict for r in results] == [Verdict.FAIL, Verdict.FAIL, Verdict.PASS]
    assert results[0].measured == "nothing was ejected"
    assert any("FAIL: 7 failed" in line for line in said)


def test_every_claim_of_the_issue_is_measured() -> None:
    titles = " ".join(claim.title for claim in CLAIMS)
    for subject in ("orders", "tenant", "fails every", "hanging", "X-Canary", "weight edit", "refuses", "503", "100",
                    "undeclared", "bad edit", "three times", "replaced under load", "exact", "Redis", "PostgreSQL",
                    "worker"):  # fmt: skip
        assert subject in titles


def test_help_has_examples() -> None:
    shown = CliRunner().invoke(cli, ["demo", "--help"])
    assert shown.exit_code == 0
    assert "rslice demo --keep" in shown.output
