"""The operator has the rights that it needs, and none that it doesn't: the API server's audit log is compared with the
chart's rules after slices have lived their life."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
import yaml
from scripts import chart
from tests.kube.rights_life import NAME, SPACE, Life, cnpg_crd, ready, shop

from testkit.audit_log import Asked
from testkit.many_slices import agents, create
from testkit.stage import Limits, Stage, stage

Right = tuple[str, str, str]
"""Group, resource, verb."""

LOG_SECONDS = 2.0
"""The audit log is written in batches of 200 ms."""
UNSEEN: Mapping[Right, str] = {
    ("resilientslice.dev", "resilientslices/finalizers", "update"): "an admission plugin asks for it; see below",
    ("events.k8s.io", "events", "list"): "only while a store's volume is missing for seconds; test_kube_stores does",
    ("resilientslice.dev", "resilientslices", "get"): (
        "only when a slice was deleted and made again while its status was on the way"
    ),
}
"""Rights that no request of these lives uses, and why they are needed."""
OWNERS = "OwnerReferencesPermissionEnforcement"


def roles(values: Mapping[str, Any], *namespaces: str) -> str:
    """What the chart makes of rights, and the namespaces for it."""
    kinds = {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
    made = [found for found in yaml.safe_load_all(chart.render(values)) if found and found["kind"] in kinds]
    spaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in (chart.NAMESPACE, *namespaces)
    ]
    return yaml.safe_dump_all([*spaces, *made])


def given() -> set[Right]:
    rules = yaml.safe_load(chart.RULES.read_text())
    return {
        (group, resource, verb)
        for rule in (*rules["rules"], *rules["own"])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(asked: Iterable[Asked]) -> set[Right]:
    """The rights that requests had to have. What an apply makes, it needs the right to create, too."""
    found: set[Right] = set()
    for request in asked:
        if request.resource:
            found.add((request.group, request.resource, request.verb))
            if (request.verb, request.code) == ("patch", 201):
                found.add((request.group, request.resource, "create"))
    return found


async def requests(at: Stage) -> list[Asked]:
    """All of the operator's. It ends first: a watch is written down when it is over."""
    await asyncio.to_thread(at.operator.stop)
    await asyncio.sleep(LOG_SECONDS)
    return at.plane.requests()


def words(rights: Iterable[Right]) -> list[str]:
    return sorted(" ".join(right) for right in rights)


@pytest.mark.timeout(900)
async def test_every_right_is_used_and_none_is_missing(programs, network):
    limits = Limits("---\n".join([roles({}, SPACE), cnpg_crd()]), arguments=[f"--lease-namespace={chart.NAMESPACE}"])
    async with stage(programs, answered=False, limits=limits, network=network) as at:
        life = Life(at)
        with agents(at, 4) as key:
            await create(at, [shop()], key)
            await life.until(ready, "the shop is ready")
            await life.live()
        assert await life.told() > 3
        asked = await requests(at)
    assert [request for request in asked if request.code in (401, 403)] == []
    found = used(asked)
    assert words(given() - found - set(UNSEEN)) == [], "rights that nothing used"
    assert words(found & set(UNSEEN)) == [], "used after all"
    assert words(found - given()) == [], "given by something else than the chart's roles"


async def test_limited_to_namespaces_it_misses_no_right_either(programs, network):
    """With the admission plugin that guards owner references, which some distributions turn on."""
    limits = Limits(
        roles({"namespaces": [SPACE, "team-a"]}, SPACE, "team-a"),
        arguments=[f"--lease-namespace={chart.NAMESPACE}", f"--namespace={SPACE}", "--namespace=team-a"],
        flags=[f"--enable-admission-plugins={OWNERS}"],
    )
    async with stage(programs, answered=False, limits=limits, network=network) as at:
        life = Life(at)
        with agents(at, 4) as key:
            await create(at, [shop()], key)
            await life.until(ready, f"{NAME} is ready")
            await life.children_are_kept()
        asked = await requests(at)
    assert [request for request in asked if request.code in (401, 403)] == []
    assert words(used(asked) - given()) == []
    assert not [request for request in asked if request.resource and "/namespaces/" not in request.uri]
