"""Texts that some field of the spec allows; which field allows which is what the field's own pattern says."""

TEXTS = (
    "70ms", "3s", "45s", "2h", "0s", "7d",
    "1500m", "2", "200Mi", "3Gi", "7Gi",
    "99.9", "98.5",
    "api", "payments", "catalog", "postgres", "redis", "other", "gold",
    "/other", "/data/other", "/tmp", "other/path", "other/key",
    "X-Other", "OTHER_NAME",
    "203.0.113.0/24", "other.example.org", "example.org/other:16", "example.org/other:18",
    "status.podIP", "metadata.name", "Europe/Berlin", "*/5 * * * *", "2026-01-02T03:04:05Z",
)  # fmt: skip
