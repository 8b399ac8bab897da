"""HorizontalPodAutoscalers: one for each track, so that a canary grows with the share it gets."""

from resilientslice.api.slice import ResilientSlice
from resilientslice.render.metadata import Object, metadata, service_labels
from resilientslice.render.names import Track, track_name
from resilientslice.render.presence import Presence


def render_autoscaler(slice_: ResilientSlice, service: Presence, track: Track, *, floor: int = 0) -> Object | None:
    """`floor`: replicas below which the autoscaler may not go for now; the maximum holds nevertheless."""
    autoscaling = service.policy.autoscaling
    if autoscaling is None or service.runs(track) is None:
        return None
    name = track_name(slice_.name, service.name, track)
    target = {"type": "Utilization", "averageUtilization": autoscaling.target_cpu_utilization_percentage}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(slice_, name, service_labels(slice_, service.name, track)),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": min(max(autoscaling.min_replicas, floor), autoscaling.max_replicas),
            "maxReplicas": autoscaling.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }
