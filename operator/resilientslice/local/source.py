"""The three files that a runtime goes by: the resource, the procfile, the env file. Read whole, or refused whole."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from resilientslice.api.not_yet import without_effect
from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.files import STDIN, load_slice
from resilientslice.local.errors import LocalError
from resilientslice.local.processes.environment import Hosts, Values, read_env_file, replace_hosts
from resilientslice.local.settings import RunSettings
from resilientslice.local.workloads.deployments import Workload, read_workloads
from resilientslice.local.workloads.procfile import Procfile, read_procfile
from resilientslice.local.workloads.volumes import Contents, contents_of, missing_content
from resilientslice.planning.desired import Desired
from resilientslice.render.names import Track
from resilientslice.render.objects import render_objects
from resilientslice.render.revision import revision_of
from resilientslice.render.store_settings import managed_stores, url_secret

Stored = Mapping[tuple[str, str], str]
"""Values of Secrets by name and key."""


@dataclass(frozen=True, slots=True)
class Source:
    """`directory` is where commands run: the procfile's, or the resource's. `hints`: what is not done here."""

    slice_: ResilientSlice
    procfile: Procfile
    values: Values
    directory: Path
    hints: tuple[str, ...] = ()

    def with_stored(self, stored: Stored) -> "Source":
        """The same, with the credentials of the managed stores."""
        return replace(self, values=replace(self.values, stored=stored))


def read_source(settings: RunSettings, *, old: ResilientSlice | None = None) -> Source:
    """What the files say now. SliceFileError or LocalError with all that is wrong with one of them.

    `old`: what ran before; changes of it that can't be made are refused too.
    """
    if str(settings.file) == STDIN:
        raise LocalError("a slice runs from a file, so that it can be edited: name one with -f")
    slice_ = load_slice(settings.file, old=old)
    procfile = read_procfile(settings.procfile_path, required=settings.procfile is not None)
    env_file = read_env_file(settings.env_file_path, required=settings.env_file is not None)
    directory = (procfile.path or settings.file).absolute().parent
    source = Source(slice_, procfile, Values(env_file=env_file, shell=dict(os.environ)), directory)
    source = source.with_stored(_placeholders(slice_))
    workloads, contents = _stable_workloads(source)
    problems = [*_missing_commands(workloads, settings), *_missing_values(workloads, contents, settings)]
    if problems:
        raise LocalError("\n".join(problems))
    return replace(source.with_stored({}), hints=tuple(_hints(slice_, procfile)))


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


def _stable_workloads(source: Source) -> tuple[list[Workload], Contents]:
    """The slice as if it were all stable, and what it mounts: enough to see what is missing for it."""
    revision = revision_of(source.slice_)
    digests = {(name, Track.STABLE): service.digest for name, service in revision.services.items()}
    objects = tuple(render_objects(source.slice_, revision, None))
    workloads = list(read_workloads(objects, source.procfile, source.values, source.directory, digests).values())
    mounts = [mount for workload in workloads for mount in workload.mounts]
    return workloads, contents_of(mounts, objects, source.values)


def _placeholders(slice_: ResilientSlice) -> Stored:
    """Managed stores get credentials when they are started."""
    secrets = (url_secret(slice_, store) for store in managed_stores(slice_))
    return {(secret.name, secret.key): "" for secret in secrets if secret}


def _missing_commands(workloads: list[Workload], settings: RunSettings) -> Iterator[str]:
    names = sorted(workload.service for workload in workloads if not workload.argv)
    if names:
        lines = ", ".join(f"`{name}: COMMAND`" for name in names)
        yield f"no command for {', '.join(names)}; add {lines} to {settings.procfile_path}, or set `command`"


def _missing_values(workloads: list[Workload], contents: Contents, settings: RunSettings) -> Iterator[str]:
    for workload in sorted(workloads, key=lambda w: w.service):
        for line in (*workload.missing, *missing_content(workload.mounts, contents)):
            yield f"service {workload.service}: no value for {line} to {settings.env_file_path}"


def _hints(slice_: ResilientSlice, procfile: Procfile) -> Iterator[str]:
    """Said once, so that nobody waits for what does not happen on one machine."""
    names = {service.name for service in slice_.spec.services}
    unknown = sorted(procfile.services - names)
    if unknown:
        yield f"{procfile.path}: no service is named {', '.join(unknown)}"
    yield from (entry.message for entry in without_effect(slice_.spec))
    scaled = sorted(service.name for service in slice_.spec.services if service.autoscaling)
    if scaled:
        yield f"autoscaling is not done here: {', '.join(scaled)} stay at minReplicas"
    claims = [v.persistent_volume_claim for service in slice_.spec.services for v in service.volumes]
    if any(claims):
        folders = sorted({claim.claim_name for claim in claims if claim})
        yield f"volume claims are folders of the state folder here: {', '.join(folders)}"
    postgres = slice_.spec.stores.postgres
    if postgres and postgres.cnpg:
        yield f"CloudNativePG does not run here: {StoreName.POSTGRES.value} is what DATABASE_URL names"
