"""Brings the cluster up and down: kind does the work, this does what kind can't without a registry."""

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kindcluster import daemon, docker, images, modules, nodeimage
from kindcluster.places import AUDIT, MANIFESTS, NETWORK_POLICIES, Cluster
from kindcluster.programs import Programs
from kindcluster.words import ClusterError, say
from testkit import disposable
from testkit.disposable import CLUSTER_PREFIX

READY_SECONDS = 180
AUDIT_POLICY = "/etc/kubernetes/audit"
AUDIT_LOGS = "/var/log/kubernetes/audit"
SHRINKS, SHRINKS_SECONDS = "horizontal-pod-autoscaler-downscale-stabilization", 15
"""An autoscaler waits five minutes before it takes pods away, and a test would wait with it."""
MOST_NODES = 9


@dataclass(frozen=True, slots=True)
class Route:
    """Pods of a range are reached through the node at an address."""

    pods: str
    via: str


def node_count(environ: Mapping[str, str]) -> int:
    text = environ.get("NODES") or "1"
    if not text.isdecimal() or not 1 <= int(text) <= MOST_NODES:
        raise ClusterError(f"NODES={text}: give a whole number from 1 to {MOST_NODES}")
    return int(text)


def kind_configuration(nodes: int, image: str | None, *, lean: bool = False) -> dict[str, Any]:
    """What `kind create cluster` is told. Without an image kind takes its own. `lean` is for Kubernetes up to 1.35:
    later ones have their kubeadm told in another way.
    """
    picture = {"image": image} if image else {}
    mounts = {"extraMounts": [{"hostPath": str(AUDIT), "containerPath": AUDIT_POLICY, "readOnly": True}]}
    patches = [
        # a kubelet of 1.35 and later refuses an old cgroup hierarchy unless it is told that it is known
        {"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1", "failCgroupV1": False}
    ]
    if lean:
        # nothing here outlives the cluster: neither a flushed disk nor an elected leader is worth its CPU time
        alone = {"leader-elect": "false"}
        patches.append(
            {
                "kind": "InitConfiguration",
                "apiVersion": "kubeadm.k8s.io/v1beta3",
                "patches": {"directory": nodeimage.PATCHES},
            }
        )
        patches.append(
            {
                "kind": "ClusterConfiguration",
                "apiVersion": "kubeadm.k8s.io/v1beta3",
                "etcd": {"local": {"extraArgs": {"unsafe-no-fsync": "true"}}},
                "apiServer": _audited(),
                "controllerManager": {"extraArgs": {**alone, SHRINKS: f"{SHRINKS_SECONDS}s"}},
                "scheduler": {"extraArgs": alone},
            }
        )
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [
            {"role": "worker", **picture} if index else {"role": "control-plane", **picture, **(mounts if lean else {})}
            for index in range(nodes)
        ],
        "kubeadmConfigPatches": [yaml.safe_dump(patch) for patch in patches],
    }


def _audited() -> dict[str, Any]:
    """An API server that writes down what the operator asks of it, so that tests can count."""
    volumes = {"policy": (AUDIT_POLICY, True), "log": (AUDIT_LOGS, False)}
    return {
        "extraArgs": {
            "audit-policy-file": f"{AUDIT_POLICY}/policy.yaml",
            "audit-log-path": f"{AUDIT_LOGS}/audit.log",
            "audit-log-mode": "batch",
            "audit-log-batch-max-wait": "200ms",
        },
        "extraVolumes": [
            {
                "name": f"audit-{name}",
                "hostPath": path,
                "mountPath": path,
                "readOnly": read_only,
                "pathType": "DirectoryOrCreate",
            }
            for name, (path, read_only) in volumes.items()
        ],
    }


def routes(nodes: Sequence[Mapping[str, Any]]) -> dict[str, list[Route]]:
    """For each node, the routes to the pods of all the others. `nodes` are the items of `kubectl get nodes`."""
    known = {node["metadata"]["name"]: Route(node["spec"]["podCIDR"], _internal_ip(node)) for node in nodes}
    return {name: [route for other, route in sorted(known.items()) if other != name] for name in sorted(known)}


def up(cluster: Cluster, cache: Path, environ: Mapping[str, str] = os.environ, *, with_images: bool = False) -> None:
    """Return when every node is Ready, and DNS, storage and metrics work.

    `with_images` does what `load_images` does, too: images are built while kind starts the nodes, and put there while
    these become Ready.
    """
    wanted = node_count(environ)
    daemon.ensure()
    standin = images.prepare_python(cache)
    programs = Programs(cluster, _kind(cache, standin=standin))
    configuration: Mapping[str, Any] | None = None
    if _is_up(programs, wanted):
        say(f"the cluster {cluster.name} is up already")
    elif standin:
        node_image = nodeimage.ensure(nodeimage.programs(cache), cache)
        configuration = kind_configuration(wanted, node_image, lean=True)
    else:
        configuration = kind_configuration(wanted, environ.get("NODE_IMAGE") or None)
    with ThreadPoolExecutor(max_workers=1) as beside:
        built = beside.submit(images.everything, cache) if with_images else None
        if configuration:
            _create(programs, configuration)
        _mark(cluster)
        if standin:
            _connect(programs)
        loading = beside.submit(images.load, programs, built.result()) if built else None
        # between nodes a pod's packets come from its node, which no policy knows
        enforced = standin and wanted == 1
        if enforced:
            programs.kubectl("apply", "--server-side", f"--filename={NETWORK_POLICIES}")
        _finish(programs, enforced=enforced)
        if loading:
            loading.result()


def down(cluster: Cluster, cache: Path) -> None:
    """Remove the cluster and its kubeconfig, and stop Docker's daemon if it was started here and no other of our
    clusters needs it."""
    others: list[str] = []
    if daemon.answers():
        programs = Programs(cluster, _kind(cache))
        if programs.nodes():
            say(f"removing the cluster {cluster.name}")
            programs.run_kind("delete", "cluster", f"--name={cluster.name}")
        others = [name for name in programs.run_kind("get", "clusters").split() if name.startswith(CLUSTER_PREFIX)]
    else:
        say("Docker does not run, and so no cluster")
    cluster.kubeconfig.unlink(missing_ok=True)
    if others:
        say(f"Docker continues for {', '.join(others)}")
    else:
        daemon.stop()


def load_images(cluster: Cluster, cache: Path) -> None:
    """Build our images, and where there is no registry stand-ins for the others, and put them onto the nodes."""
    daemon.ensure()
    programs = Programs(cluster, _kind(cache))
    if not programs.nodes():
        raise ClusterError(f"there is no cluster {cluster.name}: run `make cluster-up` first")
    images.load(programs, images.everything(cache))


def _internal_ip(node: Mapping[str, Any]) -> str:
    addresses = node["status"]["addresses"]
    return str(next(entry["address"] for entry in addresses if entry["type"] == "InternalIP"))


def _kind(cache: Path, *, standin: bool = False) -> Path:
    """The user's own kind, else the one that is built here; always that one for a node image that is built here."""
    found = None if standin else shutil.which("kind")
    return Path(found) if found else modules.build(modules.KIND, cache) / "kind"


def _is_up(programs: Programs, wanted: int) -> bool:
    """Whether the cluster stands as it is wanted. One that doesn't answer is removed: it holds nothing of value."""
    nodes = programs.nodes()
    if not nodes:
        return False
    if len(nodes) != wanted:
        raise ClusterError(
            f"the cluster {programs.cluster.name} has {len(nodes)} nodes, not {wanted}: run `make cluster-down` first"
        )
    try:
        programs.run_kind(
            "export", "kubeconfig", f"--name={programs.cluster.name}", f"--kubeconfig={programs.cluster.kubeconfig}"
        )
        programs.kubectl("get", "--raw=/readyz", "--request-timeout=10s")
    except ClusterError as error:
        say(f"the cluster {programs.cluster.name} does not answer and is made anew ({str(error).splitlines()[0]})")
        programs.run_kind("delete", "cluster", f"--name={programs.cluster.name}")
        return False
    return True


def _create(programs: Programs, configuration: Mapping[str, Any]) -> None:
    nodes = len(configuration["nodes"])
    say(f"creating the cluster {programs.cluster.name} with {nodes} node{'s' if nodes > 1 else ''}")
    programs.cluster.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    # a kubeconfig of an earlier cluster would be merged with the new one
    programs.cluster.kubeconfig.unlink(missing_ok=True)
    programs.run_kind(
        "create",
        "cluster",
        f"--name={programs.cluster.name}",
        f"--kubeconfig={programs.cluster.kubeconfig}",
        "--config=-",
        stdin=yaml.safe_dump(dict(configuration)),
    )


def _mark(cluster: Cluster) -> None:
    path = cluster.kubeconfig
    marked = disposable.marked(yaml.safe_load(path.read_text()))
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(marked, sort_keys=False))


def _connect(programs: Programs) -> None:
    """Pod routes between the nodes, which kindnetd would make. A node that was restarted has lost its own."""
    _wait_nodes_known(programs)
    listed = json.loads(programs.kubectl("get", "nodes", "--output=json"))
    for node, wanted in routes(listed["items"]).items():
        for route in wanted:
            docker.run("exec", node, "ip", "route", "replace", route.pods, "via", route.via)


def _wait_nodes_known(programs: Programs) -> None:
    """Until the controller manager has given every node its range of pod addresses."""
    deadline = time.monotonic() + READY_SECONDS
    expected = len(programs.nodes())
    while True:
        listed = programs.kubectl("get", "nodes", "--output=jsonpath={.items[*].spec.podCIDR}").split()
        if len(listed) == expected:
            return
        if time.monotonic() > deadline:
            raise ClusterError(f"{len(listed)} of {expected} nodes have pod addresses after {READY_SECONDS} s")
        time.sleep(0.5)


def _finish(programs: Programs, *, enforced: bool) -> None:
    """Metrics, and then wait for everything that a test may count on. `enforced`: NetworkPolicies are, by our own."""
    for manifest in sorted(MANIFESTS.glob("*.yaml")):
        programs.kubectl("apply", "--server-side", f"--filename={manifest}")
    timeout = f"--timeout={READY_SECONDS}s"
    programs.kubectl("wait", "--for=condition=Ready", timeout, "nodes", "--all")
    say("nodes are Ready")
    for namespace, name in (
        ("kube-system", "coredns"),
        ("local-path-storage", "local-path-provisioner"),
        ("kube-system", "metrics-server"),
    ):
        programs.kubectl("rollout", "status", f"--namespace={namespace}", timeout, f"deployment/{name}")
    if enforced:
        programs.kubectl("rollout", "status", "--namespace=kube-system", timeout, "daemonset/kube-network-policies")
    programs.kubectl("wait", "--for=condition=Available", timeout, "apiservice/v1beta1.metrics.k8s.io")
    say(f"the cluster is up: export KUBECONFIG={programs.cluster.kubeconfig}")
