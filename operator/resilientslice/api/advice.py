"""What is allowed in a resource, and rarely meant: `rslice validate` warns of it.

A rule belongs to `api/rules`; what the resource takes and does not do yet to `api/not_yet.py`.
"""

from collections.abc import Callable, Iterator

from resilientslice.api.not_yet import without_effect
from resilientslice.api.problems import Problem, missing
from resilientslice.api.slice import Spec
from resilientslice.api.stores import FrontKind


def advice(spec: Spec) -> tuple[Problem, ...]:
    """Warnings about a valid spec."""
    return tuple(found for rule in _RULES for found in rule(spec))


def _ignored_fields(spec: Spec) -> Iterator[Problem]:
    return (missing(entry.fields, entry.rule) for entry in without_effect(spec))


def _untrusted_ingress(spec: Spec) -> Iterator[Problem]:
    front = spec.front
    if front.kind is FrontKind.INGRESS and front.tls is not None and not front.trusted_proxies:
        yield missing(
            ("spec", "front", "trustedProxies"),
            "is not set: behind an Ingress with TLS, services are told `X-Forwarded-Proto: http`",
            "give the address ranges of the ingress controller's pods",
        )


_RULES: tuple[Callable[[Spec], Iterator[Problem]], ...] = (_ignored_fields, _untrusted_ingress)
