"""The volumes of a pod as folders of this machine, since a process has no mounts of its own.

A ConfigMap or Secret is a folder that all replicas read; its content is no part of what a replica is replaced for, so
an edit reaches running processes, as in a cluster. The paths in its variables are replaced by these folders.
"""

import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from resilientslice.local.processes.environment import Values

DATA = "..data"
"""What the files of a folder are read through. It is replaced in one step, as the kubelet does it."""


class Kind(StrEnum):
    """Where a volume's content comes from; the values are the fields of a pod's volume."""

    CONFIG_MAP = "configMap"
    SECRET = "secret"  # noqa: S105 - the name of a field
    CLAIM = "persistentVolumeClaim"
    EMPTY = "emptyDir"


WRITTEN = (Kind.CONFIG_MAP, Kind.SECRET)
_NAME_FIELDS = {Kind.CONFIG_MAP: "name", Kind.SECRET: "secretName", Kind.CLAIM: "claimName"}
ALREADY_HERE = "/tmp"  # noqa: S108 - every machine has it, and TMPDIR leads to one of the replica's own

Source = tuple[Kind, str]
"""An object by kind and name."""
Contents = Mapping[Source, Mapping[str, str]]
"""The files of each object: name → text."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One place in a container. `name` is the object's, for an emptyDir the volume's."""

    path: str
    kind: Kind
    name: str
    sub_path: str = ""
    optional: bool = False

    @property
    def source(self) -> Source:
        return self.kind, self.name


def read_mounts(template: Mapping[str, Any]) -> tuple[Mount, ...]:
    """The mounts of a pod template's container. Pure, like everything here that writes no folder."""
    pod = template["spec"]
    volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
    mounts = pod["containers"][0].get("volumeMounts", ())
    return tuple(_mount(one, volumes[one["name"]]) for one in mounts if one["mountPath"] != ALREADY_HERE)


def _mount(one: Mapping[str, Any], volume: Mapping[str, Any]) -> Mount:
    kind = next(kind for kind in Kind if kind in volume)
    source = volume[kind]
    return Mount(
        path=one["mountPath"].rstrip("/"),
        kind=kind,
        name=source[_NAME_FIELDS[kind]] if kind in _NAME_FIELDS else one["name"],
        sub_path=one.get("subPath", ""),
        optional=bool(source.get("optional", False)),
    )


def missing_content(mounts: Iterable[Mount], known: Contents) -> list[str]:
    """A line for each object that is mounted and nobody knows, naming where to put it."""
    return [
        f"any key of `{mount.name}`, mounted at {mount.path}: add a line `{mount.name}/KEY=value` for each"
        for mount in mounts
        if mount.kind in WRITTEN and not mount.optional and not known.get(mount.source)
    ]


def contents_of(mounts: Iterable[Mount], objects: Iterable[Mapping[str, Any]], values: Values) -> Contents:
    """What the mounted objects hold: the slice's own as they are rendered, others from the values."""
    rendered = {one["metadata"]["name"]: one.get("data", {}) for one in objects if one["kind"] == "ConfigMap"}
    sources = {mount.source for mount in mounts if mount.kind in WRITTEN}
    return {
        (kind, name): rendered[name] if kind is Kind.CONFIG_MAP and name in rendered else values.all_of(name)
        for kind, name in sources
    }


def machine_paths(mounts: Iterable[Mount], shared: Path, own: Path) -> dict[str, str]:
    """Path in the container → path on this machine. `shared` holds what all replicas see, `own` what only one does."""
    return {mount.path: str(_folder(mount, shared, own) / mount.sub_path) for mount in mounts}


def _folder(mount: Mount, shared: Path, own: Path) -> Path:
    return own / mount.name if mount.kind is Kind.EMPTY else shared / mount.kind / mount.name


def replace_paths(text: str, paths: Mapping[str, str]) -> str:
    """`--config=/etc/shop/a.json` → `--config=/…/state/volumes/…/a.json`. A longer name that only begins like a mount,
    or a path that only ends like one, is left alone."""
    if not paths:
        return text
    names = "|".join(re.escape(path) for path in sorted(paths, key=len, reverse=True))
    return re.sub(rf"(?:(?<![-\w./])|(?<=://))({names})(?![-\w.])", lambda match: paths[match[1]], text)


def make_folders(mounts: Iterable[Mount], shared: Path, own: Path) -> None:
    """The folders that processes write to; a claim's outlives them and the runtime. Raises OSError."""
    for mount in mounts:
        if mount.kind not in WRITTEN:
            (_folder(mount, shared, own) / mount.sub_path).mkdir(parents=True, exist_ok=True, mode=0o700)


def write_contents(contents: Contents, shared: Path) -> None:
    """Bring the folders of objects to what they hold now. Raises OSError; then a folder is as it was, or new."""
    for (kind, name), files in contents.items():
        _write_folder(shared / kind / name, files)


def _write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """All files at once: each is a link through `..data`, and that is a link to a folder with this very content."""
    data = folder / DATA
    if _held(data) == dict(files):
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = data.readlink().name if data.is_symlink() else ""
    version = Path(tempfile.mkdtemp(prefix="..", dir=folder))
    link = folder / "..link"
    try:
        for name, text in files.items():
            (version / name).write_text(text, encoding="utf-8")
        link.unlink(missing_ok=True)
        link.symlink_to(version.name)
        link.replace(data)
    except OSError:
        shutil.rmtree(version, ignore_errors=True)
        raise
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"{DATA}/{name}")
    for leftover in _leftovers(folder, {DATA, before, version.name, *files}):
        if leftover.is_symlink():
            leftover.unlink()
        else:
            shutil.rmtree(leftover, ignore_errors=True)


def _held(data: Path) -> dict[str, str] | None:
    """What readers see now; None before the first write."""
    if not data.is_dir():
        return None
    return {file.name: file.read_text(encoding="utf-8") for file in data.iterdir()}


def _leftovers(folder: Path, keep: Set[str]) -> list[Path]:
    """Links to keys that are gone, and former versions; the last one stays for those who are just about to open it."""
    return [entry for entry in folder.iterdir() if entry.name not in keep]


def remove_contents(shared: Path) -> None:
    """What was written of objects; what processes wrote to claims stays."""
    for kind in WRITTEN:
        shutil.rmtree(shared / kind, ignore_errors=True)
