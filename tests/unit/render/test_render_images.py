"""Which image runs: the slice's own word, else the operator's, and for PostgreSQL never another major version."""

import pytest

from resilientslice.api.stores import ManagedPostgres
from resilientslice.render.images import DEFAULT_IMAGES, Images, postgres_image
from resilientslice.render.objects import render_objects
from resilientslice.render.revision import revision_of

MIRROR = Images(
    agent="mirror:5000/agent:1",
    envoy="mirror:5000/envoy:2",
    postgres="mirror:5000/postgres:18.1-bookworm",
    redis="mirror:5000/redis:3",
    pull_secrets=("mirror", "other"),
)


def pods(slice_, images):
    """Pod specs of what the operator chooses images for, by name."""
    objects = render_objects(slice_, revision_of(slice_), None, images=images)
    chosen = ("shop-proxy", "shop-postgres", "shop-redis")
    made = {o["metadata"]["name"]: o["spec"]["template"]["spec"] for o in objects if "template" in o.get("spec", {})}
    assert all("imagePullSecrets" not in pod for name, pod in made.items() if name not in chosen)
    return {name: made[name] for name in chosen}


def images_of(pod):
    return [container["image"] for container in (*pod.get("initContainers", ()), *pod["containers"])]


STORES = "  stores: {postgres: {managed: {%s}}, redis: {managed: {%s}}}\n  proxy: {%s}"


def test_the_operators_choice_where_the_slice_names_none(of_services):
    found = pods(of_services("  - {name: a, image: i, port: 80}", STORES % ("", "", "")), MIRROR)
    assert {name: images_of(pod) for name, pod in found.items()} == {
        "shop-proxy": [MIRROR.envoy, MIRROR.agent],
        "shop-postgres": [MIRROR.postgres],
        "shop-redis": [MIRROR.redis],
    }
    for pod in found.values():
        assert pod["imagePullSecrets"] == [{"name": "mirror"}, {"name": "other"}]


def test_the_slices_own_word_wins(of_services):
    rest = STORES % ("image: 'p:18.9'", "image: 'r:1'", "image: 'e:1'")
    found = pods(of_services("  - {name: a, image: i, port: 80}", rest), MIRROR)
    assert {name: images_of(pod) for name, pod in found.items()} == {
        "shop-proxy": ["e:1", MIRROR.agent],
        "shop-postgres": ["p:18.9"],
        "shop-redis": ["r:1"],
    }


def test_no_pull_secrets_by_default(of_services):
    found = pods(of_services("  - {name: a, image: i, port: 80}", STORES % ("", "", "")), DEFAULT_IMAGES)
    assert not [name for name, pod in found.items() if "imagePullSecrets" in pod]


@pytest.mark.parametrize(
    ("chosen", "major", "image"),
    [
        ("postgres:18", 18, "postgres:18"),
        ("mirror:5000/postgres:18.1-bookworm@sha256:99aa", 18, "mirror:5000/postgres:18.1-bookworm@sha256:99aa"),
        # an operator that has come to prefer 19 leaves a store of 18 with 18
        ("postgres:19", 18, "postgres:18"),
        ("mirror:5000/team/postgres:19.0-trixie", 18, "mirror:5000/team/postgres:18"),
        ("mirror:5000/team/postgres:19@sha256:99aa", 17, "mirror:5000/team/postgres:17"),
    ],
)
def test_postgres_is_always_of_the_slices_major_version(chosen, major, image):
    assert postgres_image(ManagedPostgres(major_version=major), Images(postgres=chosen)) == image
