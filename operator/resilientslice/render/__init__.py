"""Turns `(slice, stable, canary | None)` into Kubernetes objects and Envoy resources. Pure: same input, same bytes."""
