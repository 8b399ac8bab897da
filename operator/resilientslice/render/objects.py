"""Every Kubernetes object of a slice, in the order in which they are applied and printed."""

from collections.abc import Iterable

from resilientslice.api.slice import ResilientSlice
from resilientslice.render.accounts import render_proxy_account, render_service_account
from resilientslice.render.autoscaling import render_autoscaler
from resilientslice.render.deployments import render_deployment
from resilientslice.render.disruption import render_proxy_budget, render_service_budget
from resilientslice.render.envoy import EnvoyConfig, render_envoy
from resilientslice.render.images import DEFAULT_IMAGES, Images
from resilientslice.render.ingress import render_ingress
from resilientslice.render.kinds import order
from resilientslice.render.limits import render_limits
from resilientslice.render.metadata import Object
from resilientslice.render.names import OPERATOR_NAMESPACE, Track
from resilientslice.render.network import render_default_deny, render_proxy_policy, render_service_policy
from resilientslice.render.presence import Presence, present_services
from resilientslice.render.proxy import (
    Epoch,
    cluster_topology,
    render_proxy_configuration,
    render_proxy_deployment,
)
from resilientslice.render.revision import Revision
from resilientslice.render.services import render_front_service, render_service, render_track_service
from resilientslice.render.stores.objects import render_store_objects
from resilientslice.render.tracks import CanaryTrack, Topology


def render_objects(
    slice_: ResilientSlice,
    stable: Revision,
    canary: CanaryTrack | None,
    *,
    images: Images = DEFAULT_IMAGES,
    epoch: Epoch = (0, 0),
    envoy: EnvoyConfig | None = None,
    operator_namespace: str = OPERATOR_NAMESPACE,
) -> list[Object]:
    """Plain JSON values, sorted by `kinds.RENDERED` and name, each with apiVersion, kind, name and namespace.

    Without what is not a function of the resource: credentials (`render.stores.credentials`), owner references,
    digests. `envoy` is the proxies' configuration where it is known, else the one that the slice asks for. The same
    input gives the same bytes. Nothing in the result may be changed in place: parts are shared with the revisions.
    """
    present = present_services(slice_, stable, canary)
    topology = cluster_topology(slice_, stable, canary)
    found = [
        *_of_slice(slice_, present, operator_namespace),
        *_of_proxy(slice_, images, epoch, topology, envoy or render_envoy(slice_, stable, canary, topology)),
        *(made for service in present for made in _of_service(slice_, service, present, canary)),
        *render_store_objects(slice_, present, images),
    ]
    objects = (made for made in found if made is not None)
    return sorted(objects, key=lambda made: (order(made["kind"]), made["metadata"]["name"]))


def _of_slice(
    slice_: ResilientSlice, present: tuple[Presence, ...], operator_namespace: str
) -> Iterable[Object | None]:
    yield render_default_deny(slice_)
    yield render_proxy_policy(slice_, present, operator_namespace=operator_namespace)
    yield render_limits(slice_, present)
    yield render_front_service(slice_)
    yield render_ingress(slice_)


def _of_proxy(
    slice_: ResilientSlice, images: Images, epoch: Epoch, topology: Topology, envoy: EnvoyConfig
) -> Iterable[Object | None]:
    yield render_proxy_account(slice_)
    yield render_proxy_configuration(slice_, envoy, topology, epoch=epoch)
    yield render_proxy_deployment(slice_, topology, images=images)
    yield render_proxy_budget(slice_)


def _of_service(
    slice_: ResilientSlice, service: Presence, present: tuple[Presence, ...], canary: CanaryTrack | None
) -> Iterable[Object | None]:
    floor = _floor(service, canary)
    yield render_service_account(slice_, service)
    yield render_service_policy(slice_, service, present)
    yield render_service(slice_, service)
    for track in Track:
        yield render_track_service(slice_, service, track)
        yield render_deployment(slice_, service, track)
        yield render_autoscaler(slice_, service, track, floor=floor)
    yield render_service_budget(slice_, service)


def _floor(service: Presence, canary: CanaryTrack | None) -> int:
    """Of the autoscalers of both tracks: either may be sent everything within milliseconds."""
    stable = service.tracks.get(Track.STABLE)
    sizes = canary.stable_sizes if canary else {}
    return max(sizes.get(service.name, 0), stable.transit.floor if stable else 0)
