"""Catalog: what the shop sells and for how much. PostgreSQL knows; Redis remembers for a while."""
