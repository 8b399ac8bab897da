"""What is known to be there for the stores of a slice, and which stores have to wait for it."""

import json

import pytest

from resilientslice.api.services import StoreName
from resilientslice.api.slice import DeletionPolicy, ResilientSlice
from resilientslice.planning.observed import Observed, Volume
from resilientslice.planning.plan import plan
from resilientslice.render.proxy import cluster_topology
from resilientslice.stores.provisioned import Provisioned
from resilientslice.stores.volume_claims import KnownVolume

VOLUME = Volume(requested="9Gi", capacity="5Gi", growth="grows")


@pytest.fixture
def slice_():
    spec = {
        "services": [{"name": "api", "image": "api:1", "stores": ["postgres"]}],
        "stores": {"postgres": {"managed": {"storage": "2Gi"}}, "redis": {"external": {"secretName": "cache"}}},
    }
    document = {
        "apiVersion": "resilientslice.dev/v1alpha1",
        "kind": "ResilientSlice",
        "metadata": {"name": "shop"},
        "spec": spec,
    }
    return ResilientSlice.model_validate_json(json.dumps(document))


def known(*, due=None):
    basis = ("2Gi", None)
    return {StoreName.POSTGRES: KnownVolume(basis, in_force="5Gi", volume=VOLUME, due=due)}


def test_a_store_waits_for_its_credentials_and_its_volume(slice_):
    assert Provisioned().unready(slice_) == {"shop-postgres"}
    assert Provisioned(credentials={"shop-postgres": None}).unready(slice_) == {"shop-postgres"}
    assert Provisioned(volumes=known()).unready(slice_) == {"shop-postgres"}
    both = Provisioned(credentials={"shop-postgres": DeletionPolicy.RETAIN}, volumes=known())
    assert both.unready(slice_) == set(), "an external store waits for nothing"


def test_what_is_rendered_has_the_size_that_is_in_force(slice_):
    desired = plan(slice_, Observed(), 0.0, place=cluster_topology).desired
    sized = Provisioned(volumes=known()).sized(desired)
    (claim,) = next(made["spec"]["volumeClaimTemplates"] for made in sized.objects if made["kind"] == "StatefulSet")
    assert claim["spec"]["resources"]["requests"]["storage"] == "5Gi"


def test_volumes_that_were_seen_and_when_to_look_again():
    assert Provisioned().seen_volumes() == {}
    assert Provisioned(volumes=known()).seen_volumes() == {StoreName.POSTGRES: VOLUME}
    assert Provisioned().deadlines() == []
    assert Provisioned(secrets_due=7.0, volumes=known(due=9.0)).deadlines() == [7.0, 9.0]
