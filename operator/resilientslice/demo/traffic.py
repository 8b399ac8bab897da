"""The requests that the claims send to the sample shop."""

from resilientslice.demo.load import Request

GOLD = "gold"
SILVER = "silver"
NOISY = "noisy"
SKUS = ("TEA-MINT", "MUG-01")


def browse(number: int, *, tenant: str = GOLD, headers: dict[str, str] | None = None) -> Request:
    """A read that crosses api and catalog, and may be retried."""
    del number
    return Request("GET", "/products", {"X-Tenant": tenant, **(headers or {})})


def order(key: str, sku: str, *, tenant: str = GOLD, headers: dict[str, str] | None = None) -> Request:
    """An order that crosses api, catalog and payments; its key makes it safe to retry."""
    return Request(
        "POST",
        "/orders",
        {"X-Tenant": tenant, "Idempotency-Key": key, **(headers or {})},
        json={"items": [{"sku": sku, "quantity": 1}]},
        keep_body=True,
    )
