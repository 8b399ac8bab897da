"""What is remembered survives as JSON, and what is damaged says so."""

import json

import pytest

from resilientslice.planning.memory import DamagedMemoryError, UnreadableMemoryError, memory_from_json, memory_to_json


@pytest.fixture
def stored(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30, "abort": "shop-other"}).settle()
    return json.loads(json.dumps(memory_to_json(cluster.observed.memory)))


def test_it_survives_as_json(cluster, stored):
    memory = memory_from_json(stored)
    assert memory == cluster.observed.memory
    assert memory.canary is not None
    assert memory.state.pin.weight == 30
    assert json.dumps(memory_to_json(memory)) == json.dumps(stored)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"version": 2}, "remembered state has version 2, this program reads 1; run the program that wrote it"),
        ({"version": None}, "has version None"),
        ({"stable": {}}, "remembered state is damaged ('name')"),
        ({"stable": None}, "damaged"),
        ({"canary": 7}, "damaged"),
        ({"state": {"stable": "a", "phase": "Nowhere"}}, "Nowhere"),
        ({"history": [[]]}, "damaged"),
    ],
    ids=str,
)
def test_damage_is_said(stored, damage, said):
    with pytest.raises(UnreadableMemoryError) as error:
        memory_from_json(stored | damage)
    assert said in str(error.value)


@pytest.mark.parametrize("name", ["version", "stable", "state"])
def test_what_is_missing_is_damage(stored, name):
    with pytest.raises(DamagedMemoryError):
        memory_from_json({key: value for key, value in stored.items() if key != name})


@pytest.mark.parametrize("name", ["canary", "history", "config", "sizes", "served", "accepted", "refused", "former"])
def test_what_has_a_default_may_be_missing(stored, name):
    memory_from_json({key: value for key, value in stored.items() if key != name} | {"later": [1]})
