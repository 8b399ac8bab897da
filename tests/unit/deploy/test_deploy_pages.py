"""The pages for those who run it: every reason that a status can give has its line, and links lead somewhere."""

import re
from pathlib import Path

import pytest
import yaml

from resilientslice import __version__
from resilientslice.api.reasons import Reason
from resilientslice.render.envoy.replies import REPLIES
from resilientslice.render.images import DEFAULT_IMAGES

ROOT = Path(__file__).parents[3]
PAGES = ("install", "upgrade", "rbac", "troubleshooting", "operator", "agent-keys", "stores")
LEFT_TO_THE_REFERENCE = {Reason.NO_STEPS, Reason.NOT_IMPLEMENTED}
"""The reference of conditions says all that there is to say."""


def page(name):
    return (ROOT / "docs" / f"{name}.md").read_text()


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.remedy])
def test_every_reason_to_act_is_explained(reason):
    explained = f"`{reason}`" in page("troubleshooting") or reason in LEFT_TO_THE_REFERENCE
    assert explained, f"{reason} has a remedy: say more of it in docs/troubleshooting.md"


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply.reason)
def test_every_answer_of_envoy_s_own_is_explained(reply):
    code = str(reply.status or r"\d+")
    line = rf"^\| {code} \| `{reply.reason}` \| "
    assert re.search(line, page("troubleshooting"), re.MULTILINE), (
        f"docs/troubleshooting.md: no line for {reply.reason}"
    )


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page(name)):
        assert (ROOT / "docs" / target).exists(), target


def test_the_table_of_images_has_the_defaults():
    text = page("install")
    for image in (DEFAULT_IMAGES.agent, DEFAULT_IMAGES.envoy, DEFAULT_IMAGES.postgres, DEFAULT_IMAGES.redis):
        assert f"`{image}`" in text
    assert f"resilientslice-operator:{__version__}" in text


def test_values_that_are_named_exist():
    values = yaml.safe_load((ROOT / "deploy" / "helm" / "resilientslice" / "values.yaml").read_text())
    named = set(re.findall(r"`(sliceImages|networkPolicy|image|crds|rbac)\.(\w+)", page("install")))
    assert len(named) > 8
    assert [path for path in named if path[1] not in values[path[0]]] == []
