"""The image of kind's nodes, made of programs that were built here and of Debian packages.

Images of Kubernetes' own pods are written as archives and imported into the node's containerd, as in kind's own node
image. What can't be had is stood in for: crictl by a script, kindnetd by containerd's CNI template and static routes.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import build_apiserver as source

from kindcluster import archives, debian, docker, modules
from kindcluster.archives import Image
from kindcluster.places import NODE, TOOLS
from kindcluster.words import ClusterError, say

REGISTRY = "registry.k8s.io"
BASE = "resilientslice-kind-base"
NODE_IMAGE = "resilientslice-kind-node"
METRICS_SERVER_IMAGE = f"{REGISTRY}/metrics-server/metrics-server:v0.9.0"
NETWORK_POLICIES_IMAGE = f"{REGISTRY}/networking/kube-network-policies:v0.8.0"
SANDBOX = f"{REGISTRY}/pause:3.10"
"""Named in the containerd configuration of kind's base image; kubeadm asks for one of its own."""
CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
PATCHES = "/kind/patches"
MODULES = (
    modules.PAUSE,
    modules.KIND,
    modules.KUBERNETES,
    modules.ADDONS,
    modules.STORAGE,
    modules.METRICS_SERVER,
)


@dataclass(frozen=True, slots=True)
class Programs:
    """Folders of built programs, by module; `apiserver` holds kube-apiserver and etcd."""

    apiserver: Path
    built: Mapping[str, Path]

    def path(self, module: modules.Module, program: str) -> Path:
        return self.built[module.name] / program

    def digest(self, *parts: str | bytes) -> str:
        """Names the programs, whose folders are named after what they were built of, and `parts`."""
        folders = [self.apiserver.name, *(self.built[name].name for name in sorted(self.built))]
        return source.digest(*folders, *parts)


def small(name: str) -> dict[str, Any]:
    """A patch of a control plane's pod: what kubeadm asks for would leave a node of two CPUs little to schedule."""
    return {"spec": {"containers": [{"name": name, "resources": {"requests": {"cpu": "20m"}}}]}}


def programs(cache: Path) -> Programs:
    """Everything that has to be compiled. The API server comes first: it warms the compiler's cache for the rest."""
    return Programs(source.programs(cache), {module.name: modules.build(module, cache) for module in MODULES})


def version() -> str:
    """Of Kubernetes, `v1.35.4`."""
    return source.kubernetes_version((TOOLS / modules.KUBERNETES.name / "go.mod").read_text())


def storage_manifest(go_source: str) -> tuple[str, str, str]:
    """Manifest, provisioner image and helper image, from the Go file in which kind keeps them."""
    constants = dict(re.findall(r'^const (\w+) = "([^"]+)"$', go_source, re.MULTILINE))
    manifest = re.search(r"^const defaultStorageManifest = `\n(.*)`\s*\Z", go_source, re.MULTILINE | re.DOTALL)
    try:
        provisioner, helper = constants["storageProvisionerImage"], constants["storageHelperImage"]
    except KeyError as missing:
        raise ClusterError(f"kind's const_storage.go has no {missing}: it changed; adapt storage_manifest") from None
    if manifest is None:
        raise ClusterError("kind's const_storage.go has no defaultStorageManifest: it changed; adapt storage_manifest")
    text = re.sub(r"` \+ (\w+) \+ `", lambda match: constants[match.group(1)], manifest.group(1))
    return text, provisioner, helper


def image_names(kubeadm_list: str) -> dict[str, str]:
    """`kubeadm config images list`, by the last part of the name: {"etcd": "registry.k8s.io/etcd:3.6.6-0", …}."""
    return {line.rpartition("/")[2].partition(":")[0]: line for line in kubeadm_list.split()}


def node_images(found: Programs, names: Mapping[str, str], root: Path, storage: tuple[str, str]) -> list[Image]:
    """Every image that runs on a node before the first one of ours. `root` is what collect-root.sh wrote."""
    provisioner, helper = storage
    pause = {"pause": found.path(modules.PAUSE, "pause")}
    dns = {"coredns": found.path(modules.ADDONS, "coredns")}
    policies = {"usr/local/bin/network-policies": found.path(modules.ADDONS, "network-policies")}
    return [
        *(Image(names[name], {f"usr/local/bin/{name}": _control_plane_program(found, name)}) for name in CONTROL_PLANE),
        Image(names["etcd"], {"usr/local/bin/etcd": found.apiserver / "etcd"}),
        Image(names["kube-proxy"], {"usr/local/bin/kube-proxy": _kubernetes(found, "kube-proxy")}, root),
        Image(names["coredns"], dns, entrypoint=["/coredns"]),
        *(Image(name, pause, entrypoint=["/pause"], user="65535:65535") for name in sorted({names["pause"], SANDBOX})),
        Image(
            METRICS_SERVER_IMAGE,
            {"metrics-server": found.path(modules.METRICS_SERVER, "metrics-server")},
            entrypoint=["/metrics-server"],
        ),
        Image(NETWORK_POLICIES_IMAGE, policies, root),
        Image(
            provisioner,
            {"usr/local/bin/local-path-provisioner": found.path(modules.STORAGE, "local-path-provisioner")},
        ),
        Image(helper, root=root),
    ]


def ensure(found: Programs, cache: Path) -> str:
    """The node image's name, with the digest of its inputs as its tag; it is in Docker from now on."""
    ways = [Path(name).read_bytes() for name in (__file__, archives.__file__)]
    inputs = found.digest(debian.inputs(), *_node_files(), *ways)
    image = f"{NODE_IMAGE}:{inputs}"
    if docker.is_built(image, inputs):
        return image
    archive = cache / f"kind-node-{inputs}.tar"
    with source.locked(cache / f"{archive.name}.lock"):
        if archive.is_file():
            say(f"loading the node image from {archive}")
            docker.run("load", "--quiet", f"--input={archive}")
        else:
            _build(image, inputs, found, cache)
            say(f"keeping the node image in {archive}")
            partial = archive.with_suffix(".partial")
            docker.run("save", f"--output={partial}", image)
            partial.rename(archive)
    return image


def _build(image: str, inputs: str, found: Programs, cache: Path) -> None:
    kind = modules.module_folder(modules.KIND, cache, "sigs.k8s.io/kind")
    base = _build_base(kind, cache)
    manifest, provisioner, helper = storage_manifest((kind / "pkg/build/nodeimage/const_storage.go").read_text())
    kubeadm = _kubernetes(found, "kubeadm")
    listed = subprocess.run(
        [kubeadm, "config", "images", "list", f"--kubernetes-version={version()}"],
        capture_output=True,
        text=True,
        check=True,
    )
    with tempfile.TemporaryDirectory(prefix="rslice-images-", dir=cache) as name:
        folder = Path(name)
        root = folder / "root.tar"
        _collect_root(base, root)
        say("writing the images of Kubernetes' own pods")
        images = node_images(found, image_names(listed.stdout), root, (provisioner, helper))
        written = [archives.write(each, folder) for each in images]
        files: dict[str, Path | str | bytes] = {
            **{f"programs/{program}": _kubernetes(found, program) for program in ("kubeadm", "kubectl", "kubelet")},
            **{f"images/{path.name}": path for path in written},
            **{f"patches/{name}+strategic.yaml": json.dumps(small(name)) for name in ("etcd", *CONTROL_PLANE)},
            "manifests/default-cni.yaml": NODE / "default-cni.yaml",
            "manifests/default-storage.yaml": manifest,
            "import-images.sh": NODE / "import-images.sh",
            "version": version(),
        }
        with docker.context(files) as context:
            docker.build(
                image, NODE / "node.Dockerfile", context, inputs=inputs, arguments={"BASE": base}, network="none"
            )


def _build_base(kind: Path, cache: Path) -> str:
    """systemd and containerd, with the files that kind's module keeps for its own base image."""
    files = kind / "images" / "base" / "files"
    inputs = source.digest(kind.name, debian.inputs(), *_node_files())
    image = f"{BASE}:{inputs}"
    if not docker.is_built(image, inputs):
        wanted: dict[str, Path | str | bytes] = {
            f"files/{path.relative_to(files)}": path.read_bytes()
            for path in sorted(files.rglob("*"))
            if path.is_file() and path.name != "containerd-fuse-overlayfs.service"
        }
        # the module cache is read-only throughout, so the modes are said here
        modes = {path: 0o755 if "/bin/" in path else 0o644 for path in wanted}
        wanted |= {name: NODE / name for name in ("crictl", "cni.conf.template", "keep-inside.service")}
        with docker.context(wanted, modes) as context:
            docker.build(
                image,
                NODE / "base.Dockerfile",
                context,
                inputs=inputs,
                arguments={"DEBIAN": debian.ensure(cache)},
                network="host",
            )
    return image


def _collect_root(base: str, target: Path) -> None:
    container = ["run", "--rm", "--interactive", "--network=none", "--entrypoint=bash", base, "-s"]
    with target.open("wb") as output, (NODE / "collect-root.sh").open("rb") as script:
        done = subprocess.run(["docker", *container], stdin=script, stdout=output, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise ClusterError(f"collect-root.sh failed in {base}:\n{done.stderr.decode(errors='replace')}")


def _kubernetes(found: Programs, program: str) -> Path:
    return found.path(modules.KUBERNETES, program)


def _control_plane_program(found: Programs, name: str) -> Path:
    return found.apiserver / name if name == "kube-apiserver" else _kubernetes(found, name)


def _node_files() -> list[str | bytes]:
    """Names and contents of tests/kind/node, for digests."""
    return [part for path in sorted(NODE.iterdir()) for part in (path.name, path.read_bytes())]
