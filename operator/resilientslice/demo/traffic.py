"""The requests that the claims send to the sample shop."""

from resilientslice.demo.load import Request

GOLD = "gold"
SILVER = "silver"
NOISY = "noisy"
"""Not listed in the sample: it has the default limit."""
ADMITTED = 404
"""What `light` is answered when its tenant is within its limit."""
LIMITED = 429
SKUS = ("TEA-MINT", "MUG-01")


def browse(number: int, *, tenant: str = GOLD, headers: dict[str, str] | None = None) -> Request:
    """A read that crosses api and catalog, and may be retried."""
    del number
    return Request("GET", "/products", {"X-Tenant": tenant, **(headers or {})})


def light(number: int, *, tenant: str) -> Request:
    """A read that api answers by itself, with 404, once it has charged the tenant: no other service and no store."""
    del number
    return Request("GET", "/orders/none", {"X-Tenant": tenant})


def order(key: str, sku: str, *, tenant: str = GOLD, headers: dict[str, str] | None = None) -> Request:
    """An order that crosses api, catalog and payments; its key makes it safe to retry."""
    return Request(
        "POST",
        "/orders",
        {"X-Tenant": tenant, "Idempotency-Key": key, **(headers or {})},
        json={"items": [{"sku": sku, "quantity": 1}]},
        keep_body=True,
    )
