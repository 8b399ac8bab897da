"""The same in a real cluster, by a node's port: kubelet, DNS, Services and real pods included.

Takes the disposable cluster of `make cluster-up` (or E2E_KUBECONFIG) with the images of this tree and the operator in
it, and a namespace of its own, which is removed afterwards.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import yaml
from scripts.bench.figures import Figure
from scripts.bench_operator.changes import Answers, Weigher, measured
from scripts.bench_operator.sizes import Sizes
from scripts.bench_operator.traffic import load, progress
from scripts.bench_operator.weight import latency_figures

from resilientslice.kube.kinds import Object
from resilientslice.kube.session import Session
from testkit.disposable import is_disposable
from testkit.files import ROOT, sample
from testkit.live_cluster import Cluster, KubectlError, Slice
from testkit.slice_editor import SliceEditor
from testkit.waiting import until

DEFAULT = ROOT / "build" / "kind" / "kubeconfig"
SYSTEM, OPERATOR = "resilientslice-system", "deployment/resilientslice-operator"
NAMESPACE, NAME = "bench-operator", "minimal"
P50_MS, P99_MS = 12.0, 40.0
READY_SECONDS = 300.0


async def figures(sizes: Sizes) -> AsyncIterator[Figure]:
    cluster = _cluster()
    await _demand_operator(cluster)
    await cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    try:
        slice_ = cluster.slice(NAMESPACE, NAME)
        await slice_.apply(document(sizes.proxies))
        await slice_.ready(READY_SECONDS)
        os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
        async with Session() as session:
            for figure in await _changed(session, slice_, sizes):
                yield figure
    finally:
        await cluster.kubectl("delete", "rslice", "--all", "-n", NAMESPACE, "--wait=true")
        await cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


async def _changed(session: Session, slice_: Slice, sizes: Sizes) -> list[Figure]:
    editor = SliceEditor(session, NAMESPACE, NAME)
    watching = asyncio.create_task(editor.watch())
    try:
        services = (await slice_.get())["spec"]["services"]
        services[0]["env"] = [{"name": "BENCH", "value": "canary"}]  # a new revision of the same image
        await editor.patch({"services": services, "canary": {"weight": 1}})
        live = lambda: (editor.statuses.status.get("canary") or {}).get("weight") == 1  # noqa: E731
        await until(live, "the canary is live", editor.said, seconds=READY_SECONDS)
        host, _, port = (await slice_.front_url()).removeprefix("http://").rpartition(":")
        with tempfile.TemporaryDirectory(prefix="rslice-b.") as folder:
            with load(host, int(port), rate=sizes.rate, folder=Path(folder), mark="web@canary") as out:
                changes = await Weigher(editor).back_and_forth(sizes.changes, progress)
            answers = Answers.read(out)
    finally:
        watching.cancel()
    return latency_figures(measured(changes, answers, editor.statuses), answers, P50_MS, P99_MS, ", kind")


def document(proxies: int) -> Object:
    made = sample("minimal")
    made["spec"]["services"][0]["replicas"] = 2
    made["spec"]["proxy"] = {"replicas": proxies}
    made["spec"]["canary"] = {"weight": 0}
    return made


def _cluster() -> Cluster:
    path = Path(os.environ.get("E2E_KUBECONFIG") or DEFAULT)
    if not path.is_file():
        raise SystemExit(f"error: {path}: no such file; `make cluster-up cluster-load-images` makes a cluster")
    if not is_disposable(yaml.safe_load(path.read_text())):
        raise SystemExit(f"error: {path} is not marked as disposable")
    return Cluster(path)


async def _demand_operator(cluster: Cluster) -> None:
    try:
        await cluster.kubectl("-n", SYSTEM, "rollout", "status", OPERATOR, "--timeout=120s")
    except KubectlError as error:
        raise SystemExit(f"error: {error}\nInstall it: kubectl apply --server-side -f deploy/install.yaml") from None
