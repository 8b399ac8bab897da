"""deploy/install.yaml at a real API server: taken as it is, also twice, and its rights hold where they should."""

from pathlib import Path

import pytest

INSTALL = Path(__file__).resolve().parents[2] / "deploy" / "install.yaml"
SYSTEM = "resilientslice-system"
OPERATOR = f"--as=system:serviceaccount:{SYSTEM}:resilientslice-operator"


@pytest.fixture(scope="module")
def installed(cluster):
    applied = cluster.run("apply", "--server-side", "--validate=strict", "-f", str(INSTALL))
    assert applied.returncode == 0, applied.stderr
    return cluster


def test_it_can_be_applied_again(installed):
    again = installed.run("apply", "--server-side", "--validate=strict", "-f", str(INSTALL))
    assert again.returncode == 0, again.stderr
    deployment = installed.get("deployment", "resilientslice-operator", "-n", SYSTEM)
    assert deployment["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("verb", "resource", "namespace", "answer"),
    [
        ("watch", "resilientslices.resilientslice.dev", "shop", "yes"),
        ("update", "resilientslices.resilientslice.dev", "shop", "no"),
        ("patch", "resilientslices.resilientslice.dev/status", "shop", "yes"),
        ("patch", "deployments.apps", "shop", "yes"),
        ("get", "secrets", "shop", "yes"),
        ("list", "secrets", "shop", "no"),
        ("watch", "secrets", "shop", "no"),
        ("create", "pods", "shop", "no"),
        ("create", "pods/exec", "shop", "no"),
        ("create", "rolebindings.rbac.authorization.k8s.io", "shop", "no"),
        ("update", "leases.coordination.k8s.io", SYSTEM, "yes"),
        ("update", "leases.coordination.k8s.io", "shop", "no"),
    ],
)
def test_the_operator_may_do_this_and_not_that(installed, verb, resource, namespace, answer):
    kind, _, part = resource.partition("/")
    asked = installed.run("auth", "can-i", verb, kind, f"--subresource={part}", "-n", namespace, OPERATOR)
    assert asked.stdout.strip() == answer, asked.stderr
