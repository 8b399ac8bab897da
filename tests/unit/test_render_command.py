"""`rslice render`, as a person meets it."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from resilientslice.commands.render import command, to_yaml

SAMPLES = Path(__file__).parents[2] / "samples"
SHOP = str(SAMPLES / "shop.yaml")


@pytest.fixture
def run():
    def invoke(*arguments):
        return CliRunner().invoke(command, arguments, catch_exceptions=False)

    return invoke


@pytest.fixture
def edited(tmp_path):
    """The shop with some text replaced, as a file."""

    def write(name, *changes):
        text = (SAMPLES / "shop.yaml").read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def documents(result):
    assert result.exit_code == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


def deployments(result):
    return [d["metadata"]["name"] for d in documents(result) if d["kind"] == "Deployment"]


def test_prints_a_stream_of_documents_and_keeps_secrets(run):
    result = run("-f", SHOP)
    assert {d["kind"] for d in documents(result)} >= {"Deployment", "NetworkPolicy", "StatefulSet"}
    assert "Secret" not in {d["kind"] for d in documents(result)}
    assert "Secret shop-postgres is not printed" in result.stderr
    assert "Secret shop-redis is not printed" in result.stderr


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        (("--kind", "deployment", "--name", "shop-api-stable"), [("Deployment", "shop-api-stable")]),
        (("--kind", "StatefulSet"), [("StatefulSet", "shop-postgres"), ("StatefulSet", "shop-redis")]),
        (
            ("--name", "shop-proxy"),
            [
                ("ServiceAccount", "shop-proxy"),
                ("NetworkPolicy", "shop-proxy"),
                ("ConfigMap", "shop-proxy"),
                ("Deployment", "shop-proxy"),
                ("PodDisruptionBudget", "shop-proxy"),
            ],
        ),
    ],
)
def test_selects_by_kind_and_name(run, selection, found):
    result = run("-f", SHOP, *selection)
    assert [(d["kind"], d["metadata"]["name"]) for d in documents(result)] == found
    assert result.stderr == ""


@pytest.mark.parametrize("selection", [("--kind", "Pod"), ("--name", "shp"), ("--kind", "Service", "--name", "api")])
def test_a_selection_that_finds_nothing_says_what_there_is(run, selection):
    result = run("-f", SHOP, *selection)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"nothing is named by {' '.join(selection)}" in result.stderr
    assert "StatefulSet: shop-postgres, shop-redis" in result.stderr


def test_envoy_is_one_document(run):
    bootstrap = documents(run("-f", SHOP, "--envoy"))
    assert len(bootstrap) == 1
    assert bootstrap[0]["static_resources"]["listeners"]
    assert "dynamic_resources" not in bootstrap[0]


def test_envoy_can_not_be_selected_from(run):
    result = run("-f", SHOP, "--envoy", "--kind", "Service")
    assert result.exit_code == 2
    assert "leave out --kind and --name" in result.stderr


def test_a_change_is_a_canary_of_what_changed(run, edited):
    new = edited("new.yaml", ("payments:1.0.0", "payments:1.1.0"), ("weight: 0", "weight: 25"))
    assert "shop-payments-canary" in deployments(run("-f", new, "--stable", SHOP))
    assert "shop-api-canary" not in deployments(run("-f", new, "--stable", SHOP))
    shown = run("-f", new, "--stable", SHOP, "--envoy").stdout
    assert "numerator: 25\n" in shown
    assert "numerator: 25\n" not in run("-f", SHOP, "--envoy").stdout


def test_the_same_content_is_no_canary_but_its_policy_counts(run, edited):
    more = edited("more.yaml", ("replicas: 3", "replicas: 4"))
    result = run("-f", more, "--stable", SHOP)
    made = {d["metadata"]["name"]: d for d in documents(result) if d["kind"] == "Deployment"}
    assert made["shop-payments-stable"]["spec"]["replicas"] == 4
    assert not [name for name in made if name.endswith("-canary")]


def test_without_a_canary_policy_a_change_rolls_out(run, edited):
    canary = '  canary:\n    header: {name: X-Canary, value: "1"}\n    weight: 0\n'
    new = edited("new.yaml", (canary, ""), ("payments:1.0.0", "payments:1.1.0"))
    result = run("-f", new, "--stable", SHOP, "--kind", "Deployment")
    assert "no spec.canary" in result.stderr
    assert not [name for name in deployments(result) if name.endswith("-canary")]
    assert "payments:1.1.0" in result.stdout


def test_two_slices_are_not_two_versions(run, edited):
    other = edited("other.yaml", ("name: shop\n", "name: store\n"))
    elsewhere = edited("elsewhere.yaml", ("name: shop\n", "name: shop\n  namespace: team-a\n"))
    for stable, reason in ((other, "the old one is called store"), (elsewhere, "--stable is in namespace team-a")):
        result = run("-f", SHOP, "--stable", stable)
        assert result.exit_code == 2
        assert reason in result.stderr


def test_a_change_that_can_not_be_made_is_refused(run, edited):
    small = edited("small.yaml", ("postgres: {managed: {storage: 1Gi}}", "postgres: {external: {secretName: db}}"))
    result = run("-f", small, "--stable", SHOP)
    assert result.exit_code == 2
    assert "spec.stores.postgres" in result.stderr


@pytest.mark.parametrize("option", ["-f", "--stable"])
def test_a_wrong_file_is_named(run, tmp_path, option):
    missing = str(tmp_path / "missing.yaml")
    arguments = ("-f", missing) if option == "-f" else ("-f", SHOP, "--stable", missing)
    result = run(*arguments)
    assert result.exit_code == 2
    assert missing in result.stderr
    assert "Traceback" not in result.stderr


def test_the_namespace_can_be_given(run):
    assert {d["metadata"]["namespace"] for d in documents(run("-f", SHOP))} == {"default"}
    assert {d["metadata"]["namespace"] for d in documents(run("-f", SHOP, "-n", "team-a"))} == {"team-a"}
    assert "shop-payments-stable.team-a.svc" in run("-f", SHOP, "-n", "team-a", "--envoy").stdout


@pytest.mark.parametrize("namespace", ["Team", "a.b", "", "a" * 64])
def test_a_namespace_that_can_not_be_is_refused(run, namespace):
    result = run("-f", SHOP, "-n", namespace)
    assert result.exit_code == 2
    assert "DNS label" in result.stderr


@pytest.mark.parametrize(
    ("version", "action"),
    [("1.29", "exec"), ("v1.29.3", "exec"), ("1.30", "sleep"), ("1.37.1", "sleep")],
)
def test_pods_wait_in_the_way_that_the_cluster_knows(run, version, action):
    found = documents(run("-f", SHOP, "--name", "shop-api-stable", "--kind", "Deployment", "--kube-version", version))
    container = found[0]["spec"]["template"]["spec"]["containers"][0]
    assert list(container["lifecycle"]["preStop"]) == [action]


@pytest.mark.parametrize("version", ["1.28", "2.0", "latest"])
def test_an_older_or_unknown_kubernetes_is_refused(run, version):
    result = run("-f", SHOP, "--kube-version", version)
    assert result.exit_code == 2
    assert "give 1.29 or later" in result.stderr


def test_texts_read_as_they_are_and_nothing_is_an_alias():
    shared = ["x"]
    text = to_yaml([{"b": "one\ntwo\n", "a": shared, "c": shared, "on": "yes", "n": 1}])
    assert text == "---\nb: |\n  one\n  two\na:\n- x\nc:\n- x\n'on': 'yes'\nn: 1\n"


def test_images_are_the_operators_choice(run, monkeypatch):
    monkeypatch.setenv("RSLICE_REDIS_IMAGE", "mirror/redis:8")
    monkeypatch.setenv("RSLICE_IMAGE_PULL_SECRETS", "one two")
    chosen = (
        "--agent-image",
        "mirror/agent:1",
        "--envoy-image",
        "mirror/envoy:1",
        "--postgres-image",
        "mirror/pg:18.3",
    )
    made = {(d["kind"], d["metadata"]["name"]): d for d in documents(run("-f", SHOP, *chosen))}
    proxy = made["Deployment", "shop-proxy"]["spec"]["template"]["spec"]
    assert proxy["initContainers"][0]["image"] == "mirror/envoy:1"
    assert proxy["containers"][0]["image"] == "mirror/agent:1"
    assert proxy["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    for store, image in (("postgres", "mirror/pg:18.3"), ("redis", "mirror/redis:8")):
        pod = made["StatefulSet", f"shop-{store}"]["spec"]["template"]["spec"]
        assert pod["containers"][0]["image"] == image


def test_an_image_of_postgres_must_say_its_major_version(run):
    result = run("-f", SHOP, "--postgres-image", "mirror/postgres:latest")
    assert result.exit_code == 2
    assert "must begin with PostgreSQL's major version" in result.stderr


@pytest.mark.parametrize(("arguments", "namespace"), [((), "resilientslice-system"), (("platform",), "platform")])
def test_the_agents_let_in_the_operator_of_its_namespace(run, arguments, namespace):
    options = [f"--operator-namespace={name}" for name in arguments]
    (policy,) = documents(run("-f", SHOP, "--kind", "NetworkPolicy", "--name", "shop-proxy", *options))
    peers = [
        rule["from"][0] for rule in policy["spec"]["ingress"] if {"protocol": "TCP", "port": 9903} in rule["ports"]
    ]
    assert [peer["namespaceSelector"]["matchLabels"] for peer in peers] == [{"kubernetes.io/metadata.name": namespace}]
