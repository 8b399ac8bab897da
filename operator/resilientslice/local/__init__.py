"""The other backend: the plan that the operator would apply to a cluster, as processes on one machine."""
