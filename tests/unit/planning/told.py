"""What a status tells, as its tests look at it."""

from dataclasses import replace

from resilientslice.render.names import Track

READY = {"Ready": "True", "Reconciling": "False", "Stalled": "False", "ConfigAccepted": "True"}


def conditions(cluster):
    return {condition.type: condition.status for condition in cluster.plan.status.conditions}


def message(cluster, kind="Ready"):
    return next(c.message for c in cluster.plan.status.conditions if c.type == kind)


def with_workload(cluster, service, **changed):
    key = (service, Track.STABLE)
    workloads = {**cluster.observed.workloads, key: replace(cluster.observed.workloads[key], **changed)}
    cluster.see(workloads=workloads).reconcile()
