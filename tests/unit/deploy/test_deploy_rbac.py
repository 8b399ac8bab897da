"""The operator's rights: what the code needs, each with its reason, and nothing that would be more than that."""

import functools
import sys
from pathlib import Path

import pytest
import yaml

from resilientslice.kube.kinds import WATCHED_KINDS
from resilientslice.render.kinds import RENDERED, Kind

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "scripts"))
import chart  # noqa: E402

RULES = yaml.safe_load(chart.RULES.read_text())
WRITES = frozenset({"get", "list", "watch", "create", "patch", "delete"})


@functools.cache
def manifests(name):
    return tuple(m for m in yaml.load_all(chart.render(chart.VARIANTS[name]), yaml.CSafeLoader) if m)


def rendered(name, kind):
    return [m for m in manifests(name) if m["kind"] == kind]


def triples(rules):
    """(group, resource, verb) of every right."""
    return {(g, r, v) for rule in rules for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]}


def verbs(resource):
    return {verb for _, named, verb in triples(RULES["rules"]) if named == resource}


def test_every_verb_has_a_reason_of_more_than_a_word():
    for rule in (*RULES["rules"], *RULES["own"]):
        for verb, why in rule["verbs"].items():
            assert len(why.split()) > 2, (rule["resources"], verb)


def test_each_right_is_given_once():
    for rules in RULES.values():
        counted = sum(len(r["apiGroups"]) * len(r["resources"]) * len(r["verbs"]) for r in rules)
        assert counted == len(triples(rules))


@pytest.mark.parametrize(
    ("variant", "kind", "count"),
    [("defaults", "ClusterRole", 1), ("namespaces", "Role", 2)],
)
def test_the_roles_are_the_rules(variant, kind, count):
    roles = [
        role for role in rendered(variant, kind) if not role["metadata"]["name"].endswith(("-edit", "-view", "-leader"))
    ]
    assert len(roles) == count
    assert all(triples(role["rules"]) == triples(RULES["rules"]) for role in roles)


def test_limited_to_namespaces_it_has_no_right_on_the_cluster():
    assert rendered("namespaces", "ClusterRoleBinding") == []
    bound = {b["metadata"]["namespace"]: b["roleRef"] for b in rendered("namespaces", "RoleBinding")}
    assert set(bound) == {"shop", "team-a", chart.NAMESPACE}
    assert {ref["kind"] for ref in bound.values()} == {"Role"}
    (made,) = rendered("namespaces", "Deployment")
    arguments = made["spec"]["template"]["spec"]["containers"][0]["args"]
    assert [a for a in arguments if a.startswith("--namespace=")] == ["--namespace=shop", "--namespace=team-a"]


def test_every_binding_is_of_the_account_that_the_pods_have():
    for variant in chart.VARIANTS:
        (made,) = rendered(variant, "Deployment")
        account = made["spec"]["template"]["spec"]["serviceAccountName"]
        bindings = [*rendered(variant, "RoleBinding"), *rendered(variant, "ClusterRoleBinding")]
        assert len(bindings) >= 2
        for binding in bindings:
            assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": chart.NAMESPACE}]


def test_whatever_is_rendered_can_be_made_kept_and_removed():
    assert [forgotten(kind, WRITES) for kind in RENDERED if forgotten(kind, WRITES)] == []


def test_whatever_is_watched_can_be_listed():
    watched = [forgotten(kind, frozenset({"list", "watch"})) for kind in WATCHED_KINDS]
    assert [text for text in watched if text] == []


def test_a_kind_without_rights_is_named_with_the_place():
    text = forgotten(Kind("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"), WRITES)
    assert "deploy/helm/resilientslice/files/rules.yaml" in text
    assert "httproutes of API group gateway.networking.k8s.io: create, delete, get, list, patch, watch" in text


def forgotten(kind, needed):
    given = {
        verb for group, resource, verb in triples(RULES["rules"]) if (group, resource) == (kind.group, kind.plural)
    }
    missing = ", ".join(sorted(needed - given))
    place = chart.RULES.relative_to(ROOT)
    return f"{place}: add rights on {kind.plural} of API group {kind.group or 'core'}: {missing}" if missing else ""


def test_nothing_that_would_be_too_much():
    everything = triples(RULES["rules"]) | triples(RULES["own"])
    assert not [right for right in everything if "*" in right]
    assert not [right for right in everything if right[0] == "rbac.authorization.k8s.io"]
    assert not [right for right in everything if right[2] in {"escalate", "bind", "impersonate", "deletecollection"}]
    assert verbs("secrets") == {"get", "create", "patch"}
    assert verbs("resilientslices") == {"get", "list", "watch"}
    assert not [right for right in everything if right[1].startswith("pods/")]


def test_the_page_has_every_right_with_its_reason():
    page = chart.RBAC_PAGE.read_text()
    assert page == chart.rbac_page(page, RULES), "docs/rbac.md is stale: run `make generate`"
    for rule in (*RULES["rules"], *RULES["own"]):
        for verb, why in rule["verbs"].items():
            assert f"| {', '.join(rule['resources'])} | {verb} | {why} |" in page


def test_a_page_without_its_places_is_refused():
    with pytest.raises(SystemExit, match="rules: own"):
        chart.rbac_page("<!-- rules: rules -->\n<!-- end -->\n", RULES)


def test_who_may_edit_a_namespace_may_edit_its_slices_and_who_may_view_it_may_see_them():
    roles = {role["metadata"]["name"]: role for role in rendered("defaults", "ClusterRole")}
    edit, view = roles["resilientslice-operator-edit"], roles["resilientslice-operator-view"]
    aggregated = {key.rpartition("/")[2] for key in edit["metadata"]["labels"] if "aggregate-to" in key}
    assert aggregated == {"aggregate-to-edit", "aggregate-to-admin"}
    assert {verb for _, resource, verb in triples(edit["rules"]) if resource == "resilientslices/status"} == {"get"}
    assert {verb for *_, verb in triples(view["rules"])} == {"get", "list", "watch"}
    assert [role for role in rendered("without", "ClusterRole") if "edit" in role["metadata"]["name"]] == []
