"""What continues while Envoys refuse an edit, on a real API server: proxies are replaced, decisions act."""

import json

from tests.kube.pass_edits import canary, edit, tag, weigh

from resilientslice.kube.kinds import CONFIG_MAP, DEPLOYMENT
from resilientslice.planning.observed import Refusal

IN_ENVOY = "3.333s"
WORDS = "no such field"


def refuses(_, config):
    return WORDS if IN_ENVOY in config.text else ""


def refused_edit(document):
    document["spec"].setdefault("resilience", {})["timeout"] = "3333ms"


async def envoy_image(world):
    deployment = await world.others.get(DEPLOYMENT, world.namespace, "shop-proxy")
    return deployment["spec"]["template"]["spec"]["initContainers"][0]["image"]


async def stored(world):
    data = (await world.others.get(CONFIG_MAP, world.namespace, "shop-proxy"))["data"]
    return json.loads(data["config.json"])["config"]


async def test_an_envoy_that_refuses_everything_is_replaced_by_the_one_before(shop):
    before = await envoy_image(shop)
    shop.agents.refuse = WORDS
    await edit(shop, refused_edit)
    await edit(shop, lambda document: document["spec"].setdefault("proxy", {}).update(image="example.org/envoy:bad"))
    await shop.settle("shop")
    assert (await shop.condition("shop", "Stalled"))[1] == "ConfigRejected"
    assert await envoy_image(shop) == "example.org/envoy:bad", "another Envoy may be what ends the refusal"
    await edit(shop, lambda document: document["spec"]["proxy"].pop("image"))
    await shop.settle("shop")
    assert await envoy_image(shop) == before


async def test_new_envoys_that_read_what_the_old_ones_refuse_end_it(shop):
    shop.agents.refuses = refuses
    await edit(shop, refused_edit)
    await shop.settle("shop")
    assert (await shop.condition("shop", "ConfigAccepted"))[1] == "ConfigRejected"
    shop.agents.refuses = lambda pod, config: ""
    for pod in shop.agents.pods[shop.key("shop")]:
        await shop.replace_pod(pod.name)
    await shop.settle("shop")
    assert (await shop.condition("shop", "ConfigAccepted"))[1] == "Acknowledged"
    assert IN_ENVOY in json.dumps(await stored(shop))


async def test_an_abort_is_pushed_and_stored_while_another_edit_is_refused(shop):
    await edit(shop, tag("payments", "2"))
    await edit(shop, weigh(50))
    await shop.settle("shop")
    shop.agents.refuses = refuses
    await edit(shop, refused_edit)
    await shop.settle("shop")
    assert (await canary(shop))["weight"] == 50
    revision = (await shop.slice("shop"))["status"]["revision"]["canary"]
    await edit(shop, lambda document: document["spec"]["canary"].update(abort=revision))
    await shop.settle("shop", seconds=60.0)
    assert (await canary(shop))["phase"] == "Aborted"
    ran = {digest for pods in shop.agents.running.values() for digest in pods.values()}
    handed = next(config for config in reversed(shop.agents.pushed) if config.digest in ran)
    assert "payments-canary" not in json.dumps(list(handed.routes))
    assert await stored(shop) == handed.to_json()
    pushes = len(shop.agents.pushed)
    shop.restart()
    await shop.settle("shop")
    assert (await canary(shop))["phase"] == "Aborted"
    assert not [config for config in shop.agents.pushed[pushes:] if refuses(None, config)], "it was refused before"


async def test_one_envoy_that_refuses_does_not_keep_the_others_from_being_asked(shop):
    first = min(pod.name for pod in shop.agents.pods[shop.key("shop")])
    shop.agents.refuses = lambda pod, config: WORDS if pod.name == first and IN_ENVOY in config.text else ""
    await edit(shop, refused_edit)
    await shop.settle("shop")
    assert [refusal for refusal in shop.agents.refused[shop.key("shop")] if isinstance(refusal, Refusal)]
    running = shop.agents.running[shop.key("shop")]
    assert len(set(running.values())) == 1, "all of them go back to what all of them accept"
