"""Slices, revisions and canaries in a line each, and ways to find what was rendered."""

import json
from dataclasses import dataclass

import pytest

from resilientslice.api.slice import ResilientSlice
from resilientslice.render.envoy import render_envoy
from resilientslice.render.names import Track
from resilientslice.render.revision import revision_of
from resilientslice.render.tracks import Address, CanaryTrack, DnsDiscovery, FixedDiscovery, Topology


@dataclass(frozen=True)
class Rendered:
    """A configuration, with its resources by name."""

    config: object
    topology: Topology

    def _named(self, kind, name):
        key = "cluster_name" if kind == "endpoints" else "name"
        return next(resource for resource in getattr(self.config, kind) if resource[key] == name)

    def cluster(self, name):
        return self._named("clusters", name)

    def manager(self, listener, chain=0):
        return self._named("listeners", listener)["filter_chains"][chain]["filters"][0]["typed_config"]

    def listener(self, name):
        return self._named("listeners", name)

    def hosts(self, cluster):
        assignment = self._named("endpoints", cluster)
        return [
            (
                host["endpoint"]["address"]["socket_address"]["address"],
                host["endpoint"]["address"]["socket_address"]["port_value"],
            )
            for locality in assignment["endpoints"]
            for host in locality["lb_endpoints"]
        ]

    def routes(self, name):
        return self._named("routes", name)["virtual_hosts"][0]["routes"]

    def table(self, name):
        """(route, cluster) in order, without the direct answers."""
        return [(route["name"], route["route"]["cluster"]) for route in self.routes(name) if "route" in route]

    def route(self, name, route):
        return next(found for found in self.routes(name) if found["name"] == route)


class Kit:
    """Makes what tests render."""

    @staticmethod
    def slice(services, **spec):
        return ResilientSlice.model_validate_json(
            json.dumps(
                {
                    "apiVersion": "resilientslice.dev/v1alpha1",
                    "kind": "ResilientSlice",
                    "metadata": {"name": "shop", "namespace": "prod"},
                    "spec": {"services": services, **spec},
                }
            )
        )

    @staticmethod
    def service(name, **fields):
        return {"name": name, "image": f"{name}:1", "port": 80, **fields}

    @staticmethod
    def topology(slice_, *more, discovery=None, **fields):
        names = sorted({service.name for each in (slice_, *more) for service in each.spec.services})
        return Topology(
            front=Address("0.0.0.0", 8080),
            stats=Address("0.0.0.0", 9902),
            internal={name: Address("0.0.0.0", 10_000 + i) for i, name in enumerate(names)},
            discovery=discovery or FixedDiscovery({}),
            **fields,
        )

    def render(self, old, new=None, *, canary=None, weight=0, live=True, **topology):
        """`old` is stable; `new` (the same if absent) is wanted, and in `canary` are the names that have one."""
        wanted = new or old
        stable = revision_of(old)
        track = (
            CanaryTrack(revision_of(wanted, after=stable), frozenset(canary), weight, live)
            if canary is not None
            else None
        )
        place = self.topology(old, wanted, **topology)
        return Rendered(render_envoy(wanted, stable, track, place), place)

    dns = DnsDiscovery
    fixed = FixedDiscovery
    address = Address
    track = Track


@pytest.fixture
def kit():
    return Kit()


@pytest.fixture
def shop(kit):
    return kit.slice(
        [
            kit.service("api", expose={"pathPrefix": "/"}, dependsOn=["payments"]),
            kit.service("payments", port=9000),
            {"name": "worker", "image": "worker:1"},
        ],
        resilience={"timeout": "800ms", "retries": {"attempts": 2, "perTryTimeout": "250ms", "budgetPercent": 25}},
    )
