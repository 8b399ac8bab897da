"""The scalar types of the resource, so that one pattern bounds a value in the CRD and in Python alike.

Durations, quantities and objectives stay strings inside the models, as a user wrote them; the functions here turn
them into numbers where one is needed. Whatever a pattern can say is said by the pattern: it costs the API server
nothing and can't differ between the two.
"""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from resilientslice.api.cron import CRON_PATTERN

_UNIT = "(h|m|s|ms)"
DURATION_PATTERN = rf"^([0-9]{{1,5}}{_UNIT}){{1,4}}$"
"""As in the Gateway API (GEP-2257), so that CEL's duration() reads it too."""
POSITIVE_DURATION_PATTERN = rf"^(0{{1,5}}{_UNIT}){{0,3}}0{{0,4}}[1-9][0-9]{{0,4}}{_UNIT}([0-9]{{1,5}}{_UNIT}){{0,3}}$"
WINDOW_PATTERN = r"^(([1-9]|[12][0-9]|30)d|([1-9][0-9]?|[1-6][0-9]{2}|7[01][0-9]|720)h)$"
_SUFFIXES = "(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)"
QUANTITY_PATTERN = rf"^[0-9]{{1,12}}(\.[0-9]{{1,6}})?{_SUFFIXES}?$"
SIZE_PATTERN = r"^(0{0,3}[1-9][0-9]{0,8}(\.[0-9]{1,3})?|0\.0{0,2}[1-9][0-9]{0,2})(Mi|Gi|Ti|M|G|T)$"
OBJECTIVE_PATTERN = r"^[1-9][0-9]?(\.[0-9]{1,4})?$"
DNS_LABEL_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
HOST_PATTERN = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_PATH_CHARACTER = r"[A-Za-z0-9_~!$&'()*+,;=:@%-]"
_PATH_SEGMENT = rf"\.*{_PATH_CHARACTER}[A-Za-z0-9._~!$&'()*+,;=:@%-]*"
PATH_PATTERN = r"^/[A-Za-z0-9/._~!$&'()*+,;=:@%-]*$"
PATH_PREFIX_PATTERN = rf"^(/|(/{_PATH_SEGMENT})+)$"
"""Whole segments without `.`, `..`, `//` or a slash at the end: Envoy and the kernel normalise those away."""
RELATIVE_PATH_PATTERN = rf"^{_PATH_SEGMENT}(/{_PATH_SEGMENT})*$"
HEADER_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$"
_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
CIDR_PATTERN = (
    rf"^(({_OCTET}\.){{3}}{_OCTET}/(3[0-2]|[12]?[0-9])"
    r"|[0-9a-fA-F:]*:[0-9a-fA-F:.]*/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))$"
)
ENV_NAME_PATTERN = r"^[-._a-zA-Z][-._a-zA-Z0-9]*$"
IMAGE_PATTERN = r"^[a-zA-Z0-9][-a-zA-Z0-9._/:@]*$"
TENANT_PATTERN = r"^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$"
KEY_PATTERN = r"^[-._a-zA-Z0-9]+$"
FIELD_PATH_PATTERN = (
    r"^(metadata\.(name|namespace|uid)|metadata\.(labels|annotations)\['[^']+'\]"
    r"|spec\.(nodeName|serviceAccountName)|status\.(hostIP|hostIPs|podIP|podIPs))$"
)
VISIBLE_PATTERN = r"^[!-~]+$"
ZONE_PATTERN = r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"
RESOURCE_NAME_PATTERN = (
    r"^(cpu|memory|ephemeral-storage|hugepages-[0-9]+[KMG]i|[a-z0-9][-a-z0-9.]*/[A-Za-z0-9][-A-Za-z0-9._]*)$"
)
LABEL_KEY_PATTERN = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
LABEL_VALUE_PATTERN = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
TIMESTAMP_PATTERN = (
    r"^([0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
    r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))?$"
)

FORMATS = {
    DURATION_PATTERN: "a duration such as 250ms, 10s or 1h30m",
    POSITIVE_DURATION_PATTERN: "a duration above zero such as 250ms, 10s or 1h30m",
    WINDOW_PATTERN: "a window from 1h to 30d, such as 24h or 7d",
    QUANTITY_PATTERN: "a quantity such as 100m, 0.5 or 256Mi",
    SIZE_PATTERN: "a size above zero with its unit, such as 500Mi or 1Gi",
    OBJECTIVE_PATTERN: 'a percentage from 1 to below 100, in quotes, such as "99.5"',
    DNS_LABEL_PATTERN: "a DNS label: lower-case letters, digits and hyphens, beginning with a letter",
    DNS_SUBDOMAIN_PATTERN: "an object's name: lower-case letters, digits, hyphens and dots",
    HOST_PATTERN: "a host name such as shop.example.org or *.example.org",
    PATH_PATTERN: "an absolute path such as /readyz",
    PATH_PREFIX_PATTERN: "an absolute path such as /reports, without //, /./, /../ or a slash at its end",
    RELATIVE_PATH_PATTERN: "a relative path such as config/app.yaml, without //, /./ or /../",
    HEADER_PATTERN: "a header name such as X-Tenant",
    CIDR_PATTERN: "a range of addresses such as 203.0.113.0/24",
    ENV_NAME_PATTERN: "a variable name such as LOG_LEVEL",
    IMAGE_PATTERN: "an image such as example.org/shop/api:1.4.0",
    CRON_PATTERN: 'a cron expression of five fields in their ranges, such as "0 3 * * *", or @daily',
    TENANT_PATTERN: "a tenant name: letters, digits, hyphens, underscores and dots",
    KEY_PATTERN: "a key: letters, digits, hyphens, underscores and dots",
    FIELD_PATH_PATTERN: "a field of the downward API such as metadata.name or status.podIP",
    VISIBLE_PATTERN: "visible ASCII characters without spaces",
    ZONE_PATTERN: "a time zone such as UTC or Europe/Berlin",
    RESOURCE_NAME_PATTERN: "a resource: cpu, memory, ephemeral-storage, hugepages-2Mi or such as example.org/gpu",
    LABEL_KEY_PATTERN: "a label key such as kubernetes.io/arch",
    LABEL_VALUE_PATTERN: "a label value such as arm64",
    TIMESTAMP_PATTERN: 'a moment as in RFC 3339, such as "2026-01-01T00:00:00Z"',
}
"""What each pattern means, for people: `must be …`."""

_UNIT_MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SUFFIX = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
    **{unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
}

Duration = Annotated[str, Field(pattern=DURATION_PATTERN, max_length=24)]
PositiveDuration = Annotated[str, Field(pattern=POSITIVE_DURATION_PATTERN, max_length=24)]
Window = Annotated[str, Field(pattern=WINDOW_PATTERN, max_length=4)]
Quantity = Annotated[str, Field(pattern=QUANTITY_PATTERN, max_length=24)]
Size = Annotated[str, Field(pattern=SIZE_PATTERN, max_length=24)]
Objective = Annotated[str, Field(pattern=OBJECTIVE_PATTERN, max_length=8)]
Percent = Annotated[int, Field(ge=0, le=100)]
Port = Annotated[int, Field(ge=1, le=65535)]
ServiceName = Annotated[str, Field(pattern=DNS_LABEL_PATTERN, min_length=1, max_length=24)]
DnsLabel = Annotated[str, Field(pattern=DNS_LABEL_PATTERN, min_length=1, max_length=63)]
ObjectName = Annotated[str, Field(pattern=DNS_SUBDOMAIN_PATTERN, min_length=1, max_length=253)]
Path = Annotated[str, Field(pattern=PATH_PATTERN, min_length=1, max_length=256)]
PathPrefix = Annotated[str, Field(pattern=PATH_PREFIX_PATTERN, min_length=1, max_length=256)]
RelativePath = Annotated[str, Field(pattern=RELATIVE_PATH_PATTERN, min_length=1, max_length=256)]
HeaderName = Annotated[str, Field(pattern=HEADER_PATTERN, min_length=1, max_length=64)]
Image = Annotated[str, Field(pattern=IMAGE_PATTERN, min_length=1, max_length=512)]
Cidr = Annotated[str, Field(pattern=CIDR_PATTERN, max_length=49)]
Host = Annotated[str, Field(pattern=HOST_PATTERN, min_length=1, max_length=253)]
Timestamp = Annotated[str, Field(pattern=TIMESTAMP_PATTERN, max_length=64)]
ResourceName = Annotated[str, Field(pattern=RESOURCE_NAME_PATTERN, min_length=1, max_length=128)]
LabelKey = Annotated[str, Field(pattern=LABEL_KEY_PATTERN, min_length=1, max_length=317)]
LabelValue = Annotated[str, Field(pattern=LABEL_VALUE_PATTERN, max_length=63)]


def duration_milliseconds(duration: str) -> int:
    """Milliseconds of a duration such as `250ms` or `1h30m`. The pattern is the model's business, not checked here."""
    return sum(int(n) * _UNIT_MILLISECONDS[unit] for n, unit in re.findall(r"([0-9]+)(ms|s|m|h|d)", duration))


def duration_seconds(duration: str) -> float:
    return duration_milliseconds(duration) / 1000


def quantity_value(quantity: str) -> Decimal:
    """The number a Kubernetes quantity stands for: bytes for memory and storage, cores for CPU."""
    number, suffix = re.match(r"^\+?([0-9.]+(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)$", quantity).groups()  # type: ignore[union-attr]
    return Decimal(number) * _SUFFIX[suffix]
