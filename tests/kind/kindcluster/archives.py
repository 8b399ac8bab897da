"""Writes images as Docker archives straight from files: one layer, an entrypoint, a user, and no build."""

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

EPOCH = "2026-01-01T00:00:00Z"
"""Of every image, so that the same files make the same image."""
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Image:
    """`files` maps paths in the image to files here. `root` is a tar that comes first."""

    reference: str
    files: Mapping[str, Path] = field(default_factory=dict)
    root: Path | None = None
    entrypoint: Sequence[str] = ()
    user: str = ""


def layer(image: Image) -> bytes:
    """The image's one layer as an uncompressed tar. It always has a /tmp that everybody may write to."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        made = {"tmp"}
        tar.addfile(_folder("tmp", 0o1777))
        if image.root is not None:
            _copy(image.root, tar, made)
        for path, source in image.files.items():
            for parent in reversed(PurePosixPath(path).parents):
                name = str(parent)
                if name != "." and name not in made:
                    made.add(name)
                    tar.addfile(_folder(name, 0o755))
            _add_program(tar, path, source)
    return buffer.getvalue()


def configuration(image: Image, layer_digest: str) -> dict[str, Any]:
    """The image's configuration, as the OCI image specification has it."""
    return {
        "architecture": ARCHITECTURES.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "created": EPOCH,
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "User": image.user,
            **({"Entrypoint": [*image.entrypoint]} if image.entrypoint else {}),
        },
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
        "history": [{"created": EPOCH}],
    }


def write(image: Image, folder: Path) -> Path:
    """The archive, named after the image, in `folder`."""
    raw = layer(image)
    described = json.dumps(configuration(image, f"sha256:{hashlib.sha256(raw).hexdigest()}")).encode()
    name = f"{hashlib.sha256(described).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [image.reference], "Layers": ["layer.tar"]}]
    target = folder / f"{image.reference.rpartition('/')[2].replace(':', '_')}.tar"
    with tarfile.open(target, "w") as tar:
        for member, data in (
            (name, described),
            ("layer.tar", gzip.compress(raw, compresslevel=1, mtime=0)),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return target


def _folder(name: str, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    return info


def _copy(root: Path, tar: tarfile.TarFile, made: set[str]) -> None:
    with tarfile.open(root) as source:
        for member in source:
            name = member.name.removeprefix("./")
            if name in made or name == ".":
                continue
            made.add(name)
            member.name = name
            tar.addfile(member, source.extractfile(member) if member.isreg() else None)


def _add_program(tar: tarfile.TarFile, path: str, source: Path) -> None:
    info = tarfile.TarInfo(path)
    info.size, info.mode = source.stat().st_size, 0o755
    with source.open("rb") as data:
        tar.addfile(info, data)
