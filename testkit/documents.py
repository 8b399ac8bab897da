"""Slices that are written for tests and benchmarks: one with calls between its services, and one of many small ones."""

from resilientslice.kube.kinds import Object
from testkit.hosts import SERVICE_PORT

NAME = "shop"
OLD, NEW = "1.0.0", "1.1.0"
NAMESPACES = 10
"""Over which the many are spread."""


def four_services(namespace: str, version: str, proxies: int) -> Object:
    """A slice of four services, of which `api` is reached from outside and changes with `version`."""

    def service(name: str, tag: str, *calls: str) -> Object:
        return {"name": name, "image": f"example.org/{name}:{tag}", "port": SERVICE_PORT, "dependsOn": list(calls)}

    return {
        "apiVersion": "resilientslice.dev/v1alpha1",
        "kind": "ResilientSlice",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            "services": [
                {**service("api", version, "payments", "catalog"), "expose": {"pathPrefix": "/"}},
                service("payments", OLD, "ledger"),
                service("catalog", OLD),
                service("ledger", OLD),
            ],
            "proxy": {"replicas": proxies},
            "resilience": {"timeout": "800ms", "retries": {"attempts": 2, "perTryTimeout": "250ms"}},
            "canary": {"weight": 0},
        },
    }


def many(number: int) -> Object:
    """One of the many: the least that is a slice, with one proxy."""
    return {
        "apiVersion": "resilientslice.dev/v1alpha1",
        "kind": "ResilientSlice",
        "metadata": {"name": f"s{number}", "namespace": f"many-{number % NAMESPACES}"},
        "spec": {
            "services": [{"name": "web", "image": "example.org/web:1.0.0", "port": 8000, "expose": {}}],
            "proxy": {"replicas": 1},
        },
    }
