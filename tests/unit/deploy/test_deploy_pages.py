"""The pages for those who run it: every reason that a status can give has its line, and links lead somewhere."""

import re
from pathlib import Path

import pytest
import yaml

from resilientslice import __version__
from resilientslice.render.images import DEFAULT_IMAGES

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "operator" / "resilientslice"
PAGES = ("install", "upgrade", "rbac", "troubleshooting", "operator", "agent-keys", "stores")
REASONS = {
    "planning/conditions.py": (r'STALLED, TRUE, "(\w+)"', r'return "([A-Z]\w+)", '),
    "planning/readiness.py": (
        r'_not_ready\("(\w+)"',
        r'_pods_reason\(view, "(\w+)"\)',
        r'UNKNOWN, "(\w+)"',
        r'DEADLINE = "(\w+)"',
    ),
    "stores/volume_sizes.py": (r'REFUSED, "(\w+)"',),
    "applying/conflict_words.py": (r'CONFLICT,\s+"(\w+)"',),
    "controller/troubles.py": (r'": \("([A-Z]\w+)", ', r'_trouble\(\s*"([A-Z]\w+)"'),
    "kube/meaning.py": (r'Meaning\("(\w+)"', r'^[A-Z_]+ = "([A-Z]\w+)"'),
    "claims/decision.py": (r'CONFLICT, "(\w+)"',),
    "controller/stops.py": (r'\), "(\w+)"[,)]',),
    "stores/credentials.py": (r'_refused\("(\w+)"',),
}
"""Where reasons that somebody has to act on are written."""


def page(name):
    return (ROOT / "docs" / f"{name}.md").read_text()


@pytest.mark.parametrize("module", REASONS)
def test_every_reason_to_act_is_explained(module):
    text = (PACKAGE / module).read_text()
    found = {reason for pattern in REASONS[module] for reason in re.findall(pattern, text, re.MULTILINE)}
    assert found, "nothing is found: correct the pattern"
    assert {reason for reason in found if f"`{reason}`" not in page("troubleshooting")} == set()


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
