"""Fake agents, and a fleet that knows them as one slice."""

import pytest

from resilientslice.envoys import AgentPod, Fleet, SigningKeys, new_key
from testkit.fake_agents import FakeAgents

KEY = ("shop", "shop")


@pytest.fixture
def key_dir(tmp_path):
    folder = tmp_path / "key"
    folder.mkdir()
    (folder / "current").write_text(new_key())
    return folder


@pytest.fixture
def keys(key_dir):
    return SigningKeys.of((key_dir / "current").read_bytes())


@pytest.fixture
async def fakes(key_dir):
    async with FakeAgents(2, key_dir) as agents:
        yield agents


@pytest.fixture
def pods(fakes):
    return [AgentPod(agent.name, agent.uid, address, ready=True) for address, agent in fakes.agents.items()]


@pytest.fixture
async def fleet(pods, keys):
    async with Fleet() as made:
        made.set_members(KEY, pods, keys)
        yield made
