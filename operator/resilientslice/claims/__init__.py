"""Which installation of the operator manages a slice. See ADR 0022."""
