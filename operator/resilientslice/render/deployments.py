"""The Deployments of a service: stable always, canary while there is one."""

from resilientslice.api.slice import ResilientSlice
from resilientslice.render.metadata import Object, metadata, service_labels, service_selector
from resilientslice.render.names import LABEL_TRACK, Track, track_name
from resilientslice.render.presence import Presence


def render_deployment(slice_: ResilientSlice, service: Presence, track: Track) -> Object | None:
    revision = service.runs(track)
    if revision is None:
        return None
    template = revision.template
    labels = {**template["metadata"]["labels"], LABEL_TRACK: track.value}
    replicas = wanted_replicas(service, track)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(
            slice_, track_name(slice_.name, service.name, track), service_labels(slice_, service.name, track)
        ),
        "spec": {
            **({"replicas": replicas} if replicas is not None else {}),
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": 300,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "selector": {"matchLabels": service_selector(slice_, service.name, track)},
            "template": {**template, "metadata": {**template["metadata"], "labels": labels}},
        },
    }


def wanted_replicas(service: Presence, track: Track) -> int | None:
    """None where an autoscaler decides.

    The canary is as large as stable from its start, not in proportion to its weight. A weight is a change of routes
    that takes milliseconds; it may jump (a pin by hand, `promote`), a header may send anything, and during promotion
    the canary carries everything while stable is replaced. No number of pods but the full one is right for all of them.
    At least one, also where stable is scaled to nothing: a canary without a pod could never be judged.
    """
    if service.policy.autoscaling:
        return None
    return max(1, service.least_replicas) if track is Track.CANARY else service.least_replicas
