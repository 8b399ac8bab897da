"""The resource that people write: its models, defaults, rules and CRD. Pure: no I/O, no clock, no framework."""
