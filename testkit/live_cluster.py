"""A disposable cluster as a test sees it: kubectl, slices, and traffic whose failures are counted."""

import asyncio
import contextlib
import copy
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from resilientslice.demo.load import Background, Client, Request, Tally
from resilientslice.kube.kinds import Object
from testkit.api_reader import reader
from testkit.files import ROOT

KUBECTL = ROOT / ".venv" / "bin" / "kubectl"
SMALL = {"requests": {"cpu": "40m"}}
"""Of every container: a node for tests has as many processors as its machine, and requests reserve them."""
CALL_SECONDS = 60.0
CLIENT_SECONDS = 60.0
"""A request that is later than that failed; the slice's own times end before."""
PATIENCE: Mapping[str, Any] = {"timeout": "15s"}
PATIENT_RETRIES: Mapping[str, Any] = {"perTryTimeout": "3s"}
"""A failure is to be one of ours, and none of a machine that stands still for a second."""
LABELS = {"component": "app.kubernetes.io/component"}
"""Those that aren't our own."""
POLL_SECONDS = 0.1
ENOUGH = 200
"""Requests, before traffic may end: so many that a failure would have shown."""
ASK_ENVOY = """
import http.client, socket, sys
admin = http.client.HTTPConnection("envoy")
admin.sock = socket.socket(socket.AF_UNIX)
admin.sock.connect("/run/resilientslice/admin.sock")
admin.request("GET", sys.argv[1])
answer = admin.getresponse()
print(answer.read().decode())
sys.exit(answer.status != 200)
"""

T = TypeVar("T")


class KubectlError(AssertionError):
    """kubectl ended with something else than 0; the message is what it said."""


async def until(probe: Callable[[], Awaitable[T | None]], what: str, seconds: float) -> T:
    """Ask until the answer is truthy and return it. AssertionError with the last answer when it takes too long."""
    last: T | None = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                last = await probe()
                if last:
                    return last
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what} (last seen: {last!r})") from None


@dataclass(frozen=True, slots=True)
class Cluster:
    kubeconfig: Path

    async def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        process = await asyncio.create_subprocess_exec(
            KUBECTL,
            f"--kubeconfig={self.kubeconfig}",
            *arguments,
            stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
        )
        try:
            async with asyncio.timeout(CALL_SECONDS * 5):
                out, err = await process.communicate(stdin.encode() if stdin is not None else None)
        except TimeoutError:
            process.kill()
            raise KubectlError(f"kubectl {' '.join(arguments)} did not end") from None
        if process.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {err.decode().strip()}")
        return out.decode()

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """kubectl that continues, with pipes to its standard input and output."""
        return await asyncio.create_subprocess_exec(
            KUBECTL,
            f"--kubeconfig={self.kubeconfig}",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )

    async def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        return await asyncio.to_thread(reader(self.kubeconfig).get, kind, name, namespace)

    async def list(self, kind: str, namespace: str, selector: str = "") -> list[Object]:
        """`kind` may be several, with commas."""
        found: list[Object] = []
        for each in kind.split(","):
            found += await asyncio.to_thread(reader(self.kubeconfig).list, each, namespace, selector)
        return found

    async def apply(self, document: Mapping[str, Any] | str, namespace: str | None = None) -> None:
        text = document if isinstance(document, str) else yaml.safe_dump(dict(document), sort_keys=False)
        scope = ("-n", namespace) if namespace else ()
        await self.kubectl("apply", *scope, "-f", "-", stdin=text)

    async def node_address(self) -> str:
        nodes = await self.list("nodes", "default")
        return str(next(a["address"] for a in nodes[0]["status"]["addresses"] if a["type"] == "InternalIP"))

    async def signal(self, number: int, process: str, pod: Object | None = None) -> None:
        """Send a signal to the oldest process of a name, in a pod or on the node itself. From outside, since
        the first process of a container ignores what comes from inside. Needs nodes that are Docker containers."""
        node = pod["spec"]["nodeName"] if pod else await self.node_name()
        await self.signal_on(node, number, process, pod["metadata"]["name"] if pod else "")

    async def signal_on(self, node: str, number: int, process: str, pod: str = "") -> None:
        """The same without asking the API server, which may be what was stopped."""
        belongs = f"grep -qsz '^HOSTNAME={pod}$' /proc/$p/environ &&" if pod else ""
        script = f"for p in $(pgrep -f '{process}'); do {belongs} kill -{number} $p && exit 0; done; exit 1"
        await run("docker", "exec", node, "sh", "-c", script)

    async def node_name(self) -> str:
        """Of the first node: the control plane."""
        return str((await self.list("nodes", "default"))[0]["metadata"]["name"])

    def slice(self, namespace: str, name: str) -> "Slice":
        return Slice(self, namespace, name)


@dataclass(frozen=True, slots=True)
class Slice:
    """A ResilientSlice in the cluster."""

    cluster: Cluster
    namespace: str
    name: str

    async def get(self) -> Object:
        found = await self.cluster.get("resilientslice", self.name, self.namespace)
        assert found is not None, f"ResilientSlice {self.name} is not in {self.namespace}"
        return found

    async def status(self) -> Object:
        status: Object = (await self.get()).get("status") or {}
        return status

    async def condition(self, kind: str) -> Object:
        """Empty where there is none."""
        return next((c for c in (await self.status()).get("conditions", []) if c["type"] == kind), {})

    async def apply(self, document: Object) -> None:
        """Apply a slice's document here, as small as its test can be."""
        made = copy.deepcopy(document)
        made["metadata"] = {"name": self.name}
        shrink(made["spec"])
        await self.cluster.apply(made, self.namespace)

    async def patch(self, spec: Mapping[str, Any]) -> None:
        merge = json.dumps({"spec": spec})
        await self.cluster.kubectl("patch", "rslice", self.name, "-n", self.namespace, "--type", "merge", "-p", merge)

    async def edit(self, change: Callable[[Object], None]) -> None:
        """Read, change, replace: as `kubectl edit` does, and again when the status was written in between."""

        async def replaced() -> bool:
            document = await self.get()
            document.pop("status", None)
            document["metadata"].pop("managedFields", None)
            change(document)
            try:
                await self.cluster.kubectl("replace", "-n", self.namespace, "-f", "-", stdin=json.dumps(document))
            except KubectlError as error:
                if "Conflict" not in str(error):
                    raise
                return False
            return True

        await until(replaced, "the edit is taken", 30)

    async def ready(self, seconds: float = 180) -> Object:
        """Wait until what is asked for now is what serves; return the status."""

        async def probe() -> Object | None:
            document = await self.get()
            status: Object = document.get("status") or {}
            current = status.get("observedGeneration") == document["metadata"]["generation"]
            conditions = {c["type"]: c["status"] for c in status.get("conditions", [])}
            settled = conditions.get("Ready") == "True" and conditions.get("Reconciling") == "False"
            return status if current and settled else None

        return await until(probe, f"{self.name} is Ready", seconds)

    async def wait(self, holds: Callable[[Object], Any], what: str, seconds: float = 60) -> Object:
        """Wait until something holds of the status; return the status."""

        async def probe() -> Object | None:
            status = await self.status()
            return status if holds(status) else None

        return await until(probe, what, seconds)

    async def said(self, kind: str, reason: str, seconds: float = 60) -> str:
        """Wait until a condition has a reason; return its message."""

        async def probe() -> Object | None:
            found = await self.condition(kind)
            return found if found.get("reason") == reason else None

        return str((await until(probe, f"{kind} says {reason}", seconds))["message"])

    async def front_url(self, node: str = "") -> str:
        """From this machine, by the port of the node with that address, or of any."""
        service = await self.cluster.get("service", f"{self.name}-front", self.namespace)
        assert service is not None
        port = next(p["nodePort"] for p in service["spec"]["ports"])
        return f"http://{node or await self.cluster.node_address()}:{port}"

    @contextlib.asynccontextmanager
    async def client(self, node: str = "") -> AsyncIterator[Client]:
        """Begins with the first answer: a node's port is opened by kube-proxy, which nobody's status tells of."""
        async with Client(await self.front_url(node), seconds=CLIENT_SECONDS) as client:

            async def answers() -> bool:
                return bool((await client.send(Request("GET", "/"))).status)

            await until(answers, "the node's port is open", 60)
            yield client

    @contextlib.asynccontextmanager
    async def traffic(
        self, make: Callable[[int], Request], *, per_second: float = 20, node: str = "", at_least: int = ENOUGH
    ) -> AsyncIterator[Background]:
        """Requests in staggered slots while the block runs, and on until there were enough of them to count, however
        few a busy machine takes. Look at `.tally` afterwards."""
        async with self.client(node) as client:
            background = Background(client, make, per_second=per_second, at_most=100_000)
            async with background:
                yield background

                async def enough() -> bool:
                    return background.tally.total >= at_least

                await until(enough, f"{at_least} requests were answered", 120 + 10 * at_least / per_second)

    async def pods(self, service: str | None = None, **labels: str) -> list[Object]:
        """Of a service, or of a `component` (proxy, store); none chosen: all of them."""
        chosen = {"slice": self.name, **({"service": service} if service else {}), **labels}
        selector = ",".join(f"{LABELS.get(key, f'resilientslice.dev/{key}')}={value}" for key, value in chosen.items())
        return await self.cluster.list("pods", self.namespace, selector)

    async def envoy(self, proxy: Object, path: str) -> str:
        """What the admin interface of a pod's Envoy answers: it listens on a socket in the pod only."""
        return await self.cluster.kubectl(*envoy_command(proxy, path))

    async def delete(self) -> None:
        await self.cluster.kubectl("delete", "rslice", self.name, "-n", self.namespace, "--wait=true")


async def run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(), CALL_SECONDS)
    assert process.returncode == 0, f"{' '.join(command)}: {out.decode().strip()}"
    return out.decode()


def envoy_command(proxy: Object, path: str) -> tuple[str, ...]:
    """kubectl's arguments that ask the Envoy of a pod."""
    name, namespace = proxy["metadata"]["name"], proxy["metadata"]["namespace"]
    return ("exec", "-n", namespace, name, "-c", "agent", "--", "python", "-c", ASK_ENVOY, path)


def shrink(spec: Object) -> None:
    """Little CPU for everything, times that a node which stands still doesn't reach, and a front that this machine can
    reach."""
    spec["resilience"] = _patient(spec.get("resilience", {}))
    for service in spec["services"]:
        service.setdefault("resources", copy.deepcopy(SMALL))
        if "resilience" in service:
            service["resilience"] = _patient(service["resilience"])
    proxy = spec.setdefault("proxy", {})
    proxy.setdefault("resources", copy.deepcopy(SMALL))
    spec.setdefault("front", {})["type"] = "NodePort"
    for store in (spec.get("stores") or {}).values():
        if "managed" in store:
            store["managed"].setdefault("resources", copy.deepcopy(SMALL))


def _patient(policy: Object) -> Object:
    return {**policy, **PATIENCE, "retries": {**policy.get("retries", {}), **PATIENT_RETRIES}}


def version_of(image: str, version: str) -> str:
    return f"{image.rpartition(':')[0]}:{version}"


def orders(tenant: str = "gold", prefix: str = "e2e") -> Callable[[int], Request]:
    """Orders that may be repeated, each with a key of its own."""

    def make(number: int) -> Request:
        headers = {"X-Tenant": tenant, "Idempotency-Key": f"{prefix}-{number}"}
        return Request("POST", "/orders", headers, {"items": [{"sku": "MUG-01", "quantity": 1}]}, keep_body=True)

    return make


def gets(path: str = "/", headers: Mapping[str, str] | None = None) -> Callable[[int], Request]:
    return lambda _: Request("GET", path, {"X-Tenant": "gold", **(headers or {})})


def none_failed(tally: Tally, at_least: int = 1) -> None:
    assert tally.total >= at_least, f"only {tally.total} requests were sent"
    if tally.failed:
        began = min(answer.began for answer in tally.answers)
        when = [f"{a.status} at {a.began - began:.1f} s" for a in tally.answers if not a.succeeded][:20]
        raise AssertionError(f"of {tally.total}: {tally.failures()} ({', '.join(when)})")


def uids(pods: list[Object]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}


def restarts(pods: list[Object]) -> int:
    counts: Iterator[int] = (
        status["restartCount"]
        for pod in pods
        for group in ("containerStatuses", "initContainerStatuses")
        for status in pod["status"].get(group, [])
    )
    return sum(counts)


def is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
