"""What a plan's objects are on this machine: processes, and files that they mount."""

from collections.abc import Mapping

from resilientslice.local.processes.environment import Hosts, replace_hosts
from resilientslice.local.source import Source
from resilientslice.local.workloads.deployments import Workload, read_workloads
from resilientslice.local.workloads.volumes import Contents, contents_of
from resilientslice.planning.desired import Desired
from resilientslice.render.names import Track


def workloads_of(desired: Desired, source: Source) -> dict[str, Workload]:
    """What the plan's Deployments are as processes here."""
    digests = {(name, Track.STABLE): service.digest for name, service in desired.stable.services.items()}
    if desired.canary:
        canary = desired.canary.revision.services
        digests |= {(name, Track.CANARY): canary[name].digest for name in desired.canary.services if name in canary}
    return read_workloads(desired.objects, source.procfile, source.values, source.directory, digests)


def contents_mounted(wanted: Mapping[str, Workload], desired: Desired, source: Source, hosts: Hosts) -> Contents:
    """What replicas mount, with the slice's names made addresses, as in the environment."""
    mounts = [mount for workload in wanted.values() for mount in workload.mounts]
    namespace = source.slice_.namespace
    return {
        origin: {file: replace_hosts(text, hosts, namespace) for file, text in files.items()}
        for origin, files in contents_of(mounts, desired.objects, source.values).items()
    }
