"""What the resource says of itself: phase, conditions, figures, and times that stay while nothing changes."""

from dataclasses import replace

import pytest
from tests.unit.planning.told import READY, conditions, message, with_workload

from resilientslice.api.not_yet import NOT_YET
from resilientslice.api.status import Condition
from resilientslice.planning.observed import EjectedHost, Proxies, Queued, Refusal, SilentAgent, Trouble, TroubleKind
from resilientslice.planning.readiness import EVERYONE_TRUSTED
from resilientslice.planning.timestamps import rfc3339


@pytest.mark.parametrize(("ready", "condition"), [(0, ("False", "ProxiesNotReady")), (1, ("True", "Serving"))])
def test_callers_need_an_envoy_that_they_are_sent_to(cluster, ready, condition):
    """One that has acknowledged its configuration may still be left out by the front's Service."""
    cluster.settle()
    cluster.see(proxies=replace(cluster.observed.envoys.proxies, ready=ready)).reconcile()
    assert cluster.condition("Ready") == condition


def test_a_slice_comes_up(fresh):
    fresh.see(proxies=Proxies())
    fresh.pods_start = fresh.envoys_answer = False
    fresh.reconcile()
    assert fresh.plan.status.phase == "Pending"
    assert fresh.condition("Ready") == ("False", "ProxiesNotReady")
    assert fresh.condition("Reconciling") == ("True", "RollingOut")
    assert "payments (not there yet)" in message(fresh, "Reconciling")
    fresh.see(proxies=Proxies(total=2)).reconcile()
    assert fresh.condition("Ready") == ("False", "PodsNotReady")
    assert message(fresh) == "Not ready: api 0/2, payments 0/3, worker 0/1."
    fresh.pods_start = True
    fresh.settle()
    assert fresh.plan.status.phase == "Pending"
    assert fresh.condition("Ready") == ("False", "ConfigPending")
    assert fresh.condition("Reconciling") == ("True", "ConfigPending")
    assert fresh.condition("ConfigAccepted") == ("Unknown", "ConfigPending")
    fresh.envoys_answer = True
    fresh.settle()
    assert (fresh.plan.status.phase, conditions(fresh)) == ("Ready", READY)
    assert message(fresh) == f"{fresh.plan.memory.stable.name} serves."


def test_pods_that_an_envoy_has_not_found_yet_are_not_ready_for_callers(cluster):
    cluster.see(hostless=frozenset({"payments-stable", "payments-canary", "worker-stable"})).reconcile()
    assert cluster.condition("Ready") == ("False", "EndpointsNotDiscovered")
    assert message(cluster) == "Not every Envoy has found the pods of payments, worker yet."
    assert cluster.condition("Reconciling") == ("True", "EndpointsNotDiscovered")
    assert cluster.plan.awaits_envoys
    lost = {
        key: replace(workload, ready=0) if key[0] in ("payments", "worker") else workload
        for key, workload in cluster.observed.workloads.items()
    }
    cluster.see(workloads=lost).reconcile()
    assert cluster.condition("Ready") == ("False", "PodsNotReady")
    assert not cluster.plan.awaits_envoys, "there is nothing to find yet"
    cluster.see(hostless=frozenset()).settle()
    assert (conditions(cluster), cluster.plan.awaits_envoys) == (READY, False)


def test_before_anything_is_seen_it_says_what_is_not_there(fresh):
    fresh.reconcile()
    assert message(fresh) == "Not ready: api 0/?, payments 0/?, worker 0/?."
    assert [(s.name, s.ready, s.desired) for s in fresh.plan.status.services] == [
        ("api", 0, 2),
        ("payments", 0, 3),
        ("worker", 0, 1),
    ]


def test_a_slice_whose_pods_never_started_is_pending_not_degraded(fresh):
    fresh.pods_start = False
    fresh.settle()
    assert fresh.condition("ConfigAccepted") == ("True", "Acknowledged")
    assert (fresh.plan.status.phase, fresh.plan.memory.served) == ("Pending", False)


def test_a_slice_that_lost_pods_is_degraded(cluster):
    with_workload(cluster, "payments", ready=2)
    assert cluster.plan.status.phase == "Degraded"
    assert cluster.condition("Ready") == ("False", "PodsNotReady")
    assert message(cluster) == "Not ready: payments 2/3."


def test_a_slice_without_envoys_is_degraded(cluster):
    cluster.see(proxies=Proxies()).reconcile()
    assert (cluster.plan.status.phase, cluster.condition("Ready")) == ("Degraded", ("False", "ProxiesNotReady"))


def test_a_rolling_update_is_progress_and_not_done(cluster):
    cluster.pods_start = False
    cluster.spec.pop("canary")
    cluster.edit(images={"payments": "2"}).settle()
    assert cluster.plan.status.phase == "Progressing"
    assert cluster.condition("Ready") == ("Unknown", "RollingOut")
    assert cluster.condition("Reconciling") == ("True", "RollingOut")
    cluster.pods_start = True
    cluster.settle()
    assert conditions(cluster) == READY


def test_envoys_that_have_not_answered_yet_do_not_take_ready_away(cluster):
    cluster.envoys_answer = False
    cluster.spec["resilience"] = {"timeout": "3s"}
    cluster.edit().settle()
    assert cluster.plan.status.phase == "Progressing"
    assert cluster.condition("Ready") == ("True", "Serving")
    assert cluster.condition("Reconciling") == ("True", "ConfigPending")
    assert (cluster.plan.status.config.acked, cluster.plan.status.config.total) == (0, 2)


def refusing(cluster, words):
    """Both Envoys refuse what they were handed last."""
    names = ("proxy-0", "proxy-1")
    refusals = tuple(Refusal(name, cluster.sent, words) for name in names)
    return Proxies(total=2, refusals=refusals, instances=frozenset(names))


def test_a_refused_configuration_is_said_in_envoys_words(cluster):
    cluster.envoys_answer = False
    cluster.spec["resilience"] = {"timeout": "3s"}
    cluster.edit().reconcile()
    cluster.see(proxies=refusing(cluster, "no such filter: x")).settle()
    assert cluster.plan.status.phase == "Stalled"
    assert cluster.condition("Stalled") == ("True", "ConfigRejected")
    assert cluster.condition("ConfigAccepted") == ("False", "ConfigRejected")
    assert cluster.condition("Ready") == ("False", "ConfigRejected")
    assert cluster.condition("Reconciling") == ("False", "ConfigRejected")
    assert message(cluster, "Stalled") == "Envoy says: no such filter: x"
    assert cluster.plan.status.config.rejected == "no such filter: x"


def test_words_about_an_earlier_configuration_are_history(cluster):
    cluster.see(proxies=replace(refusing(cluster, "no such filter: x"), acked=cluster.observed.envoys.proxies.acked))
    cluster.envoys_answer = False
    cluster.spec["resilience"] = {"timeout": "3s"}
    cluster.edit().reconcile()
    assert cluster.plan.status.config.rejected == ""
    assert cluster.condition("Stalled") == ("False", "NotStalled")


def test_everyone_is_trusted_with_the_tenant_header_unless_said_otherwise(cluster):
    assert EVERYONE_TRUSTED not in message(cluster)
    cluster.spec["rateLimit"] = {}
    cluster.edit().settle()
    assert message(cluster).endswith(EVERYONE_TRUSTED)
    cluster.spec["front"] = {"trustedProxies": ["10.0.0.0/8"]}
    cluster.edit().settle()
    assert EVERYONE_TRUSTED not in message(cluster)


def test_times_stay_while_a_condition_does(cluster):
    def times():
        return {c.type: c.last_transition_time for c in cluster.plan.status.conditions}

    cluster.now += 60
    cluster.edit().settle()
    assert set(times().values()) == {rfc3339(1000)}
    assert {c.observed_generation for c in cluster.plan.status.conditions} == {2}
    assert cluster.plan.status.observed_generation == 2
    with_workload(cluster, "payments", ready=2)
    assert times() == {
        "Ready": rfc3339(1060),
        "Reconciling": rfc3339(1060),
        "Stalled": rfc3339(1000),
        "ConfigAccepted": rfc3339(1000),
    }


def test_ejections_say_how_many_envoys_agree(cluster):
    hosts = (
        EjectedHost("payments", "10.0.0.2", 1, "payments-b", 1000.9),
        EjectedHost("payments", "10.0.0.1", 2),
        *(EjectedHost("zeta", f"10.1.0.{number:03}", 1) for number in range(300)),
    )
    status = cluster.see(ejections=hosts).reconcile().status
    ejections = status.ejections
    assert [(e.service, e.host, e.pod, e.since, e.envoys) for e in ejections[:2]] == [
        ("payments", "10.0.0.1", "", None, "2/2"),
        ("payments", "10.0.0.2", "payments-b", "1970-01-01T00:16:40Z", "1/2"),
    ]
    assert len(ejections) == 256
    assert status.ejected == len(hosts) > 256, "the count is whole where the list is cut"


def test_a_suspended_slice_says_so_and_keeps_the_rest(cluster):
    before = cluster.plan.status
    cluster.spec["suspend"] = True
    cluster.now += 60
    after = cluster.edit().reconcile().status
    assert (after.phase, after.observed_generation) == ("Suspended", 2)
    assert cluster.condition("Reconciling") == ("False", "Suspended")
    assert [c for c in after.conditions if c.type != "Reconciling"] == [
        c for c in before.conditions if c.type != "Reconciling"
    ]
    assert after.services == before.services
    cluster.spec["suspend"] = False
    cluster.edit().settle()
    assert conditions(cluster) == READY


def test_what_others_write_into_status_stays(cluster):
    sli = cluster.plan.status.slo.model_copy(update={"sli": "99.9"})
    status = cluster.plan.status.model_copy(update={"slo": sli})
    cluster.plan = replace(cluster.plan, report=lambda: status)
    assert cluster.reconcile().status.slo == sli


def test_conditions_of_others_stay(cluster):
    other = Condition(type="Approved", status="True", reason="Met", last_transition_time=rfc3339(5))
    status = cluster.plan.status
    told = status.model_copy(update={"conditions": (*status.conditions, other)})
    cluster.plan = replace(cluster.plan, report=lambda: told)
    assert other in cluster.reconcile().status.conditions


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "1970-01-01T00:00:00Z"), (1_769_860_800.999, "2026-01-31T12:00:00Z")]
)
def test_times_are_whole_seconds_in_utc(seconds, said):
    assert rfc3339(seconds) == said


def test_proxies_that_wait_for_their_turn_serve_and_say_who_is_before_them(cluster):
    cluster.settle()
    cluster.see(queued=Queued(before=20, places=5)).reconcile()
    assert conditions(cluster) == READY | {"Reconciling": "True"}
    assert cluster.condition("Reconciling") == ("True", "ProxyUpdateQueued")
    assert cluster.plan.status.phase == "Progressing"
    said = "Those of 5 slices are replaced at a time, and at most 20 go before this one."
    assert message(cluster, "Reconciling").endswith(said)
    cluster.see(queued=Queued(0, 1, ("a/b", "c/d"), unnamed=2)).reconcile()
    said = "and this one is next. Stalled rollouts: a/b, c/d and 2 more."
    assert message(cluster, "Reconciling").endswith(said)
    cluster.see(queued=Queued(0, 1, ("a/b",), stopped=True)).reconcile()
    said = "Stalled rollouts: a/b. No other starts here until they get on: mend them, or go back."
    assert message(cluster, "Reconciling").endswith(said)
    cluster.see(queued=None).reconcile()
    assert conditions(cluster) == READY


def test_proxies_that_are_replaced_say_so_and_why_they_dont_come_up(cluster):
    cluster.settle()
    trouble = Trouble(TroubleKind.PODS, "ImagePullFailed", "shop-proxy: its image can't be pulled.")
    cluster.see(proxies_roll=True, troubles=(trouble,)).reconcile()
    assert conditions(cluster) == READY | {"Ready": "Unknown", "Reconciling": "True"}
    assert message(cluster, "Reconciling") == f"Waiting for the proxies. {trouble.message}"


def test_an_agent_that_makes_no_sense_is_named_and_takes_nothing_from_what_serves(cluster):
    cluster.settle()
    why = "answers what is not understood: counters is not an object"
    proxies = replace(
        cluster.observed.envoys.proxies,
        pods=("proxy-0", "proxy-1"),
        silent=(SilentAgent("proxy-1", why, broken=True), SilentAgent("proxy-0", "gives no answer that counts")),
    )
    cluster.see(proxies=proxies).reconcile()
    assert conditions(cluster) == READY | {"ConfigAccepted": "Unknown"}
    assert cluster.condition("ConfigAccepted") == ("Unknown", "InvalidAgentResponse")
    assert f"proxy-1 {why}." in message(cluster, "ConfigAccepted")
    assert "proxy-0" not in message(cluster, "ConfigAccepted"), "it has acknowledged, and is silent for a moment"
    refusals = (Refusal("proxy-1", cluster.sent, "routes: no"),)
    refusing = replace(proxies, acked={"proxy-0": cluster.sent}, refusals=refusals)
    cluster.see(proxies=refusing).reconcile()
    assert cluster.condition("ConfigAccepted") == ("False", "ConfigRejected")
    assert f"proxy-1 {why}." in message(cluster, "ConfigAccepted"), "what it says Envoy refused may be no truth either"


def test_who_has_not_acknowledged_is_named_and_why(fresh):
    pods = tuple(f"proxy-{number}" for number in range(8))
    silent = (SilentAgent("proxy-1", "gives no answer that counts"),)
    fresh.envoys_answer = False
    fresh.see(proxies=Proxies(8, pods=pods, silent=silent)).settle()
    acked = dict.fromkeys(("proxy-0", "proxy-2"), fresh.sent)
    fresh.see(proxies=Proxies(8, {**acked, "proxy-3": "another"}, pods=pods, silent=silent)).reconcile()
    named = "Missing: proxy-1 (gives no answer that counts), proxy-3, proxy-4, proxy-5, proxy-6 and 1 more."
    assert message(fresh, "ConfigAccepted") == f"Not every Envoy has answered yet. {named}"
    assert message(fresh, "Ready") == f"Not every Envoy has acknowledged its configuration yet. {named}"
    assert message(fresh, "Reconciling") == f"Waits until every Envoy has acknowledged its configuration. {named}"


def test_a_field_without_effect_is_said_for_as_long_as_it_is_set(cluster):
    cluster.spec["backup"] = {}
    cluster.spec["slo"] = {"window": "7d"}
    made = cluster.edit().settle()
    assert cluster.condition("FieldsIgnored") == ("True", "NotImplemented")
    said = next(condition.message for condition in made.status.conditions if condition.type == "FieldsIgnored")
    assert [entry.path for entry in NOT_YET if entry.message in said] == ["spec.backup", "spec.slo"]
    assert cluster.condition("Ready")[0] == "True", "what works is not the worse for it"
    del cluster.spec["backup"], cluster.spec["slo"]
    after = cluster.edit().settle()
    assert all(condition.type != "FieldsIgnored" for condition in after.status.conditions)
