"""What a plan asks for, as its tests look at it: objects by name, and where Envoys and proxies may go."""

import json

GRACE = 35 + 2
"""Seconds that a pod may take to end, preStop included, and some slack."""


def objects(cluster, kind):
    return {o["metadata"]["name"]: o for o in cluster.plan.desired.objects if o["kind"] == kind}


def envoy(cluster, kind, name):
    return next((r for r in getattr(cluster.plan.desired.envoy, kind) if r["name"] == name), None)


def aimed_at(cluster, name):
    made = envoy(cluster, "clusters", name)
    (locality,) = made["load_assignment"]["endpoints"]
    (host,) = locality["lb_endpoints"]
    (options,) = made["typed_extension_protocol_options"].values()
    protocol = "GRPC" if "http2_protocol_options" in options["explicit_http_config"] else "HTTP"
    return host["endpoint"]["address"]["socket_address"]["port_value"], protocol


def opened(cluster, policy="shop-payments"):
    """Ports that the proxies may reach the service's pods at."""
    rules = objects(cluster, "NetworkPolicy")[policy]["spec"]["ingress"]
    return sorted(port["port"] for rule in rules for port in rule["ports"])


def called_at(cluster, name="shop-payments"):
    return [port["port"] for port in objects(cluster, "Service")[name]["spec"]["ports"]]


def headers_matched(cluster):
    routes = json.dumps([envoy(cluster, "routes", name) for name in ("front", "payments")])
    return "X-Canary" in routes or "x-canary" in routes
