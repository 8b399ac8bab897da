"""resilientslice: one Kubernetes resource for the resilience of a vertical slice of an application."""

__version__ = "0.1.0"
