"""A Debian root from the machine's own package mirror: what all stand-ins and the node image begin with."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import build_apiserver as source

from kindcluster import daemon, docker
from kindcluster.words import ClusterError, say

SUITE = "bookworm"
"""Its Python is 3.11, as in python:3.11-slim."""
IMAGE = f"resilientslice-debian:{SUITE}"
MACHINE_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
DEBOOTSTRAP = ("--variant=minbase", "--include=ca-certificates")


def mirror(targets: str) -> str:
    """The first mirror that apt-get knows, from lines of `SITE RELEASE_ORIGIN`; security archives don't count."""
    for line in targets.splitlines():
        site = line.strip()
        if site and not re.search(r"security", site):
            return site
    raise ClusterError("apt-get knows no Debian mirror: check /etc/apt/sources.list*")


def machine_mirror() -> str:
    if shutil.which("apt-get") is None:
        raise ClusterError("without a container registry this needs Debian's packages, and there is no apt-get here")
    answer = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    )
    return mirror(answer.stdout)


def inputs() -> str:
    """What the root is made of. The certificates are the machine's: behind a proxy of its own, pip needs them."""
    return source.digest(SUITE, *DEBOOTSTRAP, MACHINE_CERTIFICATES.read_bytes())


def ensure(cache: Path) -> str:
    """The image's name, which exists from now on."""
    wanted = inputs()
    if docker.is_built(IMAGE, wanted):
        return IMAGE
    archive = cache / f"kind-debian-{wanted}.tar"
    with source.locked(cache / f"{archive.name}.lock"):
        if not archive.is_file():
            _bootstrap(archive)
    docker.run("import", f"--change=LABEL {docker.INPUTS}={wanted}", str(archive), IMAGE)
    return IMAGE


def _bootstrap(archive: Path) -> None:
    if shutil.which("debootstrap") is None:
        daemon.install("debootstrap")
    site = machine_mirror()
    say(f"unpacking Debian {SUITE} (once; about 40 seconds)")
    with tempfile.TemporaryDirectory(prefix="rslice-debian-", dir=archive.parent) as name:
        root = Path(name) / "root"
        done = subprocess.run(
            ["debootstrap", *DEBOOTSTRAP, SUITE, str(root), site], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            said = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
            raise ClusterError(f"debootstrap {SUITE} from {site} failed:\n{said}")
        shutil.rmtree(root / "var" / "cache" / "apt")
        (root / "var" / "cache" / "apt" / "archives" / "partial").mkdir(parents=True)
        shutil.copyfile(MACHINE_CERTIFICATES, root / MACHINE_CERTIFICATES.relative_to("/"))
        packed = Path(name) / "root.tar"
        subprocess.run(["tar", f"--directory={root}", "--create", f"--file={packed}", "."], check=True)
        packed.rename(archive)
