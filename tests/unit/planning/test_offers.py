"""Decisions act while an edit is refused, and nothing that is refused is offered again and again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from resilientslice.api.validation import parse_slice
from resilientslice.canary.state import Phase
from resilientslice.planning.memory import memory_from_json, memory_to_json
from resilientslice.planning.observed import Proxies, Refusal
from resilientslice.planning.policy import policy_from_json, policy_of, policy_to_json

SAMPLES = Path(__file__).parents[3] / "samples"
WORDS = "no such filter: x"
REFUSED_TIMEOUT = "3333ms"
IN_ENVOY = "3.333s"
EDITS = {
    "resilience": lambda spec: spec.update(resilience={"timeout": REFUSED_TIMEOUT}),
    "of a service": lambda spec: spec["services"][1].update(resilience={"timeout": REFUSED_TIMEOUT}),
    "a route": lambda spec: spec["services"][1].update(routes=[{"pathPrefix": "/x", "timeout": REFUSED_TIMEOUT}]),
    "header": lambda spec: spec["canary"].update(header={"name": "X-Canary", "value": IN_ENVOY}),
    "limits": lambda spec: spec.update(
        rateLimit={"tenants": [{"name": "gold", "requestsPerSecond": 3, "burst": 3}]},
        resilience={"timeout": REFUSED_TIMEOUT},
    ),
}


def refuses(config):
    return WORDS if IN_ENVOY in config.text else ""


def drawn(cluster):
    """Percent that the Envoys draw for the canary, by the configuration that they run."""
    ran = next(iter(cluster.ran.values()))
    config = next(offered for offered in reversed(cluster.offered) if offered.digest == ran)
    routes = next(made for made in config.routes if made["name"] == "payments")["virtual_hosts"][0]["routes"]
    fractions = (route["match"].get("runtime_fraction") for route in routes)
    return max((fraction["default_value"]["numerator"] for fraction in fractions if fraction), default=0)


@pytest.fixture
def refused(cluster):
    """A canary at 50, and Envoys that refuse what is edited next."""
    cluster.edit(images={"payments": "2"}, canary={"weight": 50}).settle()
    assert drawn(cluster) == 50
    cluster.refuses = refuses
    return cluster


@pytest.fixture(params=EDITS)
def edit(request):
    return EDITS[request.param]


def test_an_abort_acts_while_another_edit_is_refused(refused, edit):
    edit(refused.spec)
    refused.edit().settle()
    assert refused.condition("Stalled") == ("True", "ConfigRejected")
    assert drawn(refused) == 50
    revision = refused.plan.memory.state.canary
    refused.edit(canary={"abort": revision}).settle(60.0)
    assert refused.plan.memory.state.phase is Phase.ABORTED
    assert drawn(refused) == 0


def test_a_weight_acts_while_another_edit_is_refused(refused, edit):
    edit(refused.spec)
    refused.edit(canary={"weight": 10}).settle()
    assert drawn(refused) == 10
    refused.edit(canary={"weight": 70}).settle()
    assert (drawn(refused), refused.plan.memory.state.observed) == (70, 70)
    assert refused.plan.status.config.rejected == WORDS
    assert (refused.plan.status.config.acked, refused.plan.status.config.total) == (2, 2), "of what they are offered"


def test_a_promotion_acts_while_another_edit_is_refused(refused, edit):
    edit(refused.spec)
    refused.edit().settle()
    revision = refused.plan.memory.state.canary
    refused.edit(canary={"weight": 100}).settle(60.0)
    assert (refused.plan.memory.stable.name, refused.plan.memory.state.canary) == (revision, "")


def test_what_is_refused_is_offered_once_however_often_it_is_looked_at(refused, edit):
    edit(refused.spec)
    refused.edit().settle()
    for weight in (10, 20, 30, 20, 10):
        refused.edit(canary={"weight": weight}).settle(30.0)
    assert sum(bool(refuses(config)) for config in refused.offered) == 1


def test_the_decision_is_the_same_after_a_restart(refused, edit):
    edit(refused.spec)
    refused.edit().settle()
    memory = memory_from_json(json.loads(json.dumps(memory_to_json(refused.plan.memory))))
    refused.see(memory=memory).edit(canary={"weight": 20}).settle()
    assert drawn(refused) == 20
    assert sum(bool(refuses(config)) for config in refused.offered) == 1


def test_taking_the_edit_back_ends_it(refused, edit):
    before = json.dumps(refused.spec)
    edit(refused.spec)
    refused.edit(canary={"weight": 20}).settle()
    refused.spec = json.loads(before)
    refused.edit().settle()
    assert drawn(refused) == 50
    assert refused.condition("ConfigAccepted") == ("True", "Acknowledged")
    assert refused.plan.memory.refused is None


def test_a_policy_survives_as_json():
    spec = parse_slice(yaml.safe_load((SAMPLES / "shop.yaml").read_text())).spec
    policy = policy_of(spec)
    data = json.loads(json.dumps(policy_to_json(policy)))
    assert policy_from_json(data) == policy
    assert policy_to_json(policy_from_json(data)) == data


def test_other_envoys_are_offered_it_once_more(refused, edit):
    """The ones that refused it are gone: an edit of the image, or an operator's upgrade."""
    edit(refused.spec)
    refused.edit().settle()
    refused.refuses = lambda config: ""
    others = Proxies(total=2, acked=dict.fromkeys(("new-0", "new-1"), "other"), instances=frozenset({"new-0", "new-1"}))
    refused.see(proxies=others).settle()
    assert refused.condition("ConfigAccepted") == ("True", "Acknowledged")
    assert refuses(refused.offered[-1]), "the edit is in force"
    assert policy_to_json(refused.plan.memory.accepted) == policy_to_json(policy_of(refused.slice_().spec))


def test_one_of_them_is_enough_to_keep_all_on_what_both_accept(refused, edit):
    edit(refused.spec)
    refused.edit().settle()
    left = replace(refused.observed.envoys.proxies, instances=frozenset({"proxy-1", "new-0"}))
    refused.refuses = lambda config: ""
    refused.see(proxies=left).edit(canary={"weight": 20}).settle()
    assert drawn(refused) == 20
    assert refused.condition("ConfigAccepted") == ("False", "ConfigRejected")


def test_a_first_configuration_that_is_refused_has_nothing_to_fall_back_to(fresh):
    fresh.refuses = refuses
    EDITS["resilience"](fresh.spec)
    fresh.settle()
    assert (fresh.plan.memory.accepted, len(fresh.offered)) == (None, 1)
    fresh.spec["resilience"] = {"timeout": "1s"}
    fresh.edit().settle()
    assert fresh.condition("ConfigAccepted") == ("True", "Acknowledged")


def test_a_refusal_of_both_leaves_what_runs(refused):
    EDITS["resilience"](refused.spec)
    refused.refuses = lambda config: WORDS
    refused.edit(canary={"weight": 20}).settle()
    assert drawn(refused) == 50
    offered = len(refused.offered)
    refused.settle(60.0)
    assert len(refused.offered) == offered


@pytest.mark.parametrize("data", [None, {}, [], {"front": 1}, {"front": {}, "resilience": {"x": 1}}, "text"])
def test_a_policy_that_cannot_be_read_is_none(data):
    assert policy_from_json(data) is None


@pytest.mark.parametrize(
    ("acked", "refused", "owed"),
    [
        ({}, (), 2),
        ({"a": "x"}, (), 1),
        ({"a": "x", "b": "x"}, (), 0),
        ({"a": "x"}, ("b",), 0),
        ({"a": "x"}, ("a",), 1),
        ({"a": "y"}, ("a", "b"), 0),
        ({"a": "y", "b": "y"}, (), 2),
    ],
)
def test_envoys_owe_an_answer_until_they_run_or_refuse_it(acked, refused, owed):
    proxies = Proxies(total=2, acked=acked, refusals=tuple(Refusal(name, "x", "no") for name in refused))
    assert proxies.owe("x") == owed
