"""Payments: charges each order exactly once per tenant and idempotency key, in one PostgreSQL transaction."""
