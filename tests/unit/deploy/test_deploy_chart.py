"""The chart renders what Kubernetes accepts, for every set of values, and fits the code that it runs."""

import functools
import re
import sys
from pathlib import Path

import click
import helm_python
import kubernetes_validate
import pytest
import yaml

from resilientslice import __version__
from resilientslice.commands.operator import command
from resilientslice.render.images import DEFAULT_IMAGES
from resilientslice.render.names import AGENT_PORT
from resilientslice.render.network import OPERATOR, PROMETHEUS
from resilientslice.render.objects import render_objects
from resilientslice.render.revision import revision_of

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "scripts"))
import chart  # noqa: E402

NAMES = tuple(chart.VARIANTS)
OLDEST, NEWEST = "1.29", kubernetes_validate.latest_version()
# not part of Kubernetes' own schemas
FOREIGN = {"monitoring.coreos.com/v1", "apiextensions.k8s.io/v1"}


@functools.cache
def rendered(name):
    return [made for made in yaml.load_all(chart.render(chart.VARIANTS[name]), yaml.CSafeLoader) if made]


def find(name, kind, called=None):
    found = [m for m in rendered(name) if m["kind"] == kind and called in (None, m["metadata"]["name"])]
    assert len(found) == 1, f"{kind} {called}: {len(found)}"
    return found[0]


def pod(name):
    return find(name, "Deployment")["spec"]["template"]["spec"]


def operator(name):
    return pod(name)["containers"][0]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", NAMES)
def test_kubernetes_knows_every_field(name, version):
    checked = [made for made in rendered(name) if made["apiVersion"] not in FOREIGN]
    assert len(checked) > 7
    for made in checked:
        try:
            kubernetes_validate.validate(made, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            pytest.fail(f"{made['kind']} {made['metadata']['name']}: {'/'.join(map(str, error.path))}: {error.message}")


def test_helm_finds_nothing_to_complain_about():
    assert chart.lint() == ""


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replica": 2}, "replica"),
        ({"replicas": 0}, "replicas"),
        ({"namespaces": ["Shop"]}, "namespaces"),
        ({"registry": "registry.example.org/"}, "registry"),
        ({"image": {"digest": "sha256:abc"}}, "digest"),
        ({"sliceImages": {"postgres": "postgres:latest"}}, "postgres"),
        ({"networkPolicy": {"apiServerPorts": []}}, "apiServerPorts"),
        ({"metrics": {"port": 80}}, "port"),
    ],
)
def test_values_that_make_no_sense_are_refused_by_name(values, named):
    with pytest.raises(helm_python.HelmValuesError, match=named):
        chart.render(values)


def test_an_account_of_ones_own_needs_a_name():
    with pytest.raises(helm_python.HelmRenderError, match=r"serviceAccount\.name is needed"):
        chart.render({"serviceAccount": {"create": False}})


def test_versions_and_images_are_those_of_the_code():
    described = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())
    assert (described["version"], described["appVersion"]) == (__version__, __version__)
    values = yaml.safe_load((chart.CHART / "values.yaml").read_text())["sliceImages"]
    assert values == {
        "agent": DEFAULT_IMAGES.agent,
        "envoy": DEFAULT_IMAGES.envoy,
        "postgres": DEFAULT_IMAGES.postgres,
        "redis": DEFAULT_IMAGES.redis,
        "pullSecrets": [],
    }


def test_the_crd_is_the_generated_one_and_stays_when_the_chart_goes():
    found = find("defaults", "CustomResourceDefinition")
    assert found["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert found == yaml.load(chart.CRD.read_text(), yaml.CSafeLoader)
    assert "CustomResourceDefinition" not in {made["kind"] for made in rendered("without")}


@pytest.mark.parametrize("release", ["resilientslice", "other"])
def test_slices_let_this_operator_reach_their_agents_and_it_may_go_there(of_one_service, release):
    made = [m for m in yaml.load_all(chart.render(release=release), yaml.CSafeLoader) if m]
    labelled = next(m for m in made if m["kind"] == "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert OPERATOR.items() <= labelled.items()

    objects = render_objects(of_one_service, revision_of(of_one_service), None)
    proxy = next(o for o in objects if o["kind"] == "Deployment" and o["metadata"]["name"] == "shop-proxy")
    agents = next(m for m in made if m["kind"] == "NetworkPolicy")["spec"]["egress"][-1]
    (peer,) = agents["to"]
    assert peer["podSelector"]["matchLabels"].items() <= proxy["spec"]["template"]["metadata"]["labels"].items()
    assert agents["ports"] == [{"protocol": "TCP", "port": AGENT_PORT}]


def test_prometheus_is_found_as_in_slices():
    (allowed,) = find("defaults", "NetworkPolicy")["spec"]["ingress"]
    assert allowed["from"] == [{"namespaceSelector": {}, "podSelector": {"matchLabels": PROMETHEUS}}]
    assert allowed["ports"] == [{"protocol": "TCP", "port": operator("defaults")["ports"][0]["containerPort"]}]


@pytest.mark.parametrize("name", NAMES)
def test_selectors_match_the_pods(name):
    made = find(name, "Deployment")
    labelled = made["spec"]["template"]["metadata"]["labels"]
    selectors = [made["spec"]["selector"]["matchLabels"], find(name, "Service")["spec"]["selector"]]
    selectors += [c["labelSelector"]["matchLabels"] for c in pod(name)["topologySpreadConstraints"]]
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        for found in (m for m in rendered(name) if m["kind"] == kind):
            selector = found["spec"].get("selector") or found["spec"]["podSelector"]
            selectors.append(selector["matchLabels"])
    assert all(selector.items() <= labelled.items() for selector in selectors)
    assert len(selectors) >= 4


@pytest.mark.parametrize("name", NAMES)
def test_the_restricted_profile_holds(name):
    made, container = pod(name), operator(name)
    assert made["securityContext"]["runAsNonRoot"] is True
    assert made["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert all(set(volume) - {"name"} == {"emptyDir"} for volume in made["volumes"])
    assert {"startupProbe", "readinessProbe", "livenessProbe", "resources"} <= container.keys()


def test_a_registry_and_pull_secrets_reach_everything():
    images = [operator("everything")["image"]]
    variables = {v["name"]: v.get("value") for v in operator("everything")["env"]}
    images += [value for name, value in variables.items() if name.endswith("_IMAGE")]
    assert len(images) == 5
    assert all(image.startswith("registry.example.org/mirror/") for image in images)
    assert images[0].endswith(":1.2.3")
    assert variables["RSLICE_IMAGE_PULL_SECRETS"] == "mirror other"
    assert pod("everything")["imagePullSecrets"] == [{"name": "mirror"}]
    assert operator("without")["image"] == f"resilientslice-operator@sha256:{'0' * 64}"
    assert operator("defaults")["image"] == f"resilientslice-operator:{__version__}"


def test_one_operator_has_no_disruption_budget():
    assert find("defaults", "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert "PodDisruptionBudget" not in {made["kind"] for made in rendered("namespaces")}


def test_the_install_file_makes_its_namespace_first_and_guards_it():
    made = list(yaml.load_all((ROOT / "deploy" / "install.yaml").read_text(), yaml.CSafeLoader))
    assert [m["kind"] for m in made[:3]] == ["Namespace", "CustomResourceDefinition", "ServiceAccount"]
    guarded = {
        key: value for key, value in made[0]["metadata"]["labels"].items() if re.search(r"/(enforce|warn)$", key)
    }
    assert set(guarded.values()) == {"restricted"}
    assert len(guarded) == 2
    known = sorted((m["kind"], m["metadata"]["name"]) for m in made[1:])
    assert known == sorted((m["kind"], m["metadata"]["name"]) for m in rendered("defaults"))
    placed = {m["metadata"]["namespace"] for m in made if "namespace" in m["metadata"]}
    assert placed == {made[0]["metadata"]["name"]}


@pytest.mark.parametrize("name", NAMES)
def test_the_command_takes_what_the_chart_gives_it(name, monkeypatch):
    container = operator(name)
    assert container["command"] == ["rslice", "operator"]
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable.get("value", "system"))
    given = [argument.replace("$(POD_NAMESPACE)", "system") for argument in container["args"]]
    taken = command.make_context("operator", given).params
    values = chart.VARIANTS[name]
    assert taken["namespaces"] == tuple(values.get("namespaces", ()))
    assert (taken["lease_namespace"], taken["lease_name"]) == ("system", "resilientslice-operator")
    assert taken["operator_namespace"] == "system", "agents let it in from there"
    assert taken["listen"] == ("0.0.0.0", container["ports"][0]["containerPort"])
    assert (taken["workers"], taken["proxy_rollouts"]) == (8, 5)
    registry = values["registry"] + "/" if "registry" in values else ""
    assert taken["image_envoy"] == registry + DEFAULT_IMAGES.envoy
    assert taken["image_pull_secrets"] == tuple(values.get("sliceImages", {}).get("pullSecrets", ()))


@pytest.mark.parametrize(("given", "taken"), [("2", 2), ("0", None), ("many", None)])
def test_the_number_of_rollouts_can_be_given_by_a_variable(given, taken, monkeypatch):
    monkeypatch.setenv("RSLICE_PROXY_ROLLOUTS", given)
    if taken is None:
        with pytest.raises(click.BadParameter):
            command.make_context("operator", [])
    else:
        assert command.make_context("operator", []).params["proxy_rollouts"] == taken
