"""A bare control plane with the operator, one slice whose proxies are real, and traffic to them, ended together."""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scripts.bench.servers import Bench
from scripts.bench_operator.changes import Answers, Change, Measured, Patcher, measured
from scripts.bench_operator.controlplane import ControlPlane, control_plane
from scripts.bench_operator.hosts import SERVICE_PORT, STABLE, Names, backends
from scripts.bench_operator.program import Operator
from scripts.bench_operator.simulation import REAL, Simulation, until
from scripts.ports import free_port
from tests.apiserver.conftest import Cluster

from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import AlreadyExistsError
from resilientslice.kube.kinds import Object
from resilientslice.kube.session import Session
from resilientslice.render.names import FRONT_PORT

NAME = "shop"
FRONT_HOST = "127.0.0.1"
NETWORK = "127.80"
OLD, NEW = "1.0.0", "1.1.0"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    changes: int = 200
    rate: float = 400.0
    proxies: int = 1
    slices: int = 1000
    rest: float = 30.0
    """Seconds to look at an operator that has nothing to do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """An operator that may do only what `roles` (manifests) let it. `flags` are the API server's."""

    roles: str
    arguments: Sequence[str] = ()
    flags: Sequence[str] = ()


@dataclass(slots=True)
class Stage:
    plane: ControlPlane
    session: Session
    simulation: Simulation
    operator: Operator
    folder: Path
    network: str
    """The first two bytes of the addresses of pods that are not real."""
    patcher: Patcher = field(init=False)

    def __post_init__(self) -> None:
        self.patcher = Patcher(self.session, REAL, NAME)

    @property
    def client(self) -> KubeClient:
        return KubeClient(self.session)

    async def namespace(self, name: str) -> None:
        with contextlib.suppress(AlreadyExistsError):
            await self.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    async def bring_up(self, proxies: int) -> None:
        """The real slice, with a canary that is live and has no weight yet."""
        await self.namespace(REAL)
        await self.client.create(document(OLD, proxies))
        await self._status(lambda s: s.get("phase") == "Ready", "the slice is ready")
        # with the image, or it would belong to the revision before
        await self.patcher.patch({"services": document(NEW, proxies)["spec"]["services"], "canary": {"weight": 1}})
        await self._status(
            lambda s: s["canary"]["weight"] == 1 and s["config"]["acked"] == proxies, "the canary is live"
        )

    async def _status(self, holds: object, what: str) -> None:
        assert callable(holds)
        await until(lambda: self.patcher.statuses.status and holds(self.patcher.statuses.status), what, self._said)

    def _said(self) -> str:
        pods = "\n".join(pod.said() for pod in self.simulation.pods.values())
        return f"{self.patcher.said()}\n{pods}\n{self.operator.said()}"

    async def change(self, sizes: Sizes) -> tuple[Measured, Answers, list[Change]]:
        """Weights back and forth under traffic to the front of the real slice."""
        with load(FRONT_HOST, FRONT_PORT, rate=sizes.rate, folder=self.folder, mark="track=canary") as out:
            changes = await self.patcher.back_and_forth(sizes.changes, progress)
        answers = Answers.read(out)
        return measured(changes, answers, self.patcher.statuses), answers, changes


def progress(done: int) -> None:
    if done % 50 == 0:
        print(f"    {done} changes", flush=True)


@asynccontextmanager
async def stage(
    *, traced: bool = False, answered: bool = True, limits: Limits | None = None, network: str = NETWORK
) -> AsyncIterator[Stage]:
    """`traced`: with a clock in the operator. `answered`: there is somebody behind the proxies. Without `limits` the
    operator may do everything. Two stages at the same time need two networks."""
    with ExitStack() as stack:
        plane = stack.enter_context(_plane(limits))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rslice-b.")))
        bench = Bench(folder, stack)
        if answered:
            bench.envoy(backends(), f"http://{STABLE}:{SERVICE_PORT}/")
        names = Names()
        dns_port = await names.serve()
        stack.callback(names.close)
        pods = stack.enter_context(ExitStack())
        arguments = limits.arguments if limits else ()
        operator = Operator(plane.operators, folder, free_port(), traced=traced, arguments=arguments)
        stack.callback(operator.stop)
        async with Session(plane.login) as session:
            made = Stage(plane, session, Simulation(session, names, dns_port, folder, pods), operator, folder, network)
            await made.namespace("default")
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(made.simulation.run()), group.create_task(made.patcher.watch())]
                await asyncio.to_thread(operator.start)
                try:
                    yield made
                finally:
                    for task in tasks:
                        task.cancel()


@contextmanager
def _plane(limits: Limits | None) -> Iterator[ControlPlane]:
    if limits is None:
        with control_plane() as plane:
            yield plane
        return
    with control_plane(groups="", flags=limits.flags) as plane:
        administrator = Cluster(plane.kubeconfig)
        administrator.kubectl("apply", "--server-side", "--filename=-", stdin=limits.roles)
        yield plane


@contextmanager
def load(host: str, port: int, *, rate: float, folder: Path, mark: str) -> Iterator[Path]:
    """Traffic while the block runs; yields the file where its answers are afterwards."""
    out = folder / "answers.txt"
    where = ["--host", host, "--port", str(port), "--rate", str(rate)]
    with piped(["scripts.bench_operator.load", *where, "--mark", mark, "--out", str(out)]):
        yield out


@contextmanager
def piped(arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A module of our own that ends when its standard input does."""
    command = [sys.executable, "-m", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if process.stdout.readline() != "started\n":
            raise SystemExit(f"error: {arguments[0]} did not start")
        yield process
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            code = process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    if code:
        raise SystemExit(f"error: {arguments[0]} ended with {code}")


def document(version: str, proxies: int) -> Object:
    """A slice of four services, of which `api` is reached from outside and changes with `version`."""

    def service(name: str, tag: str, *calls: str) -> Object:
        return {"name": name, "image": f"example.org/{name}:{tag}", "port": SERVICE_PORT, "dependsOn": list(calls)}

    return {
        "apiVersion": "resilientslice.dev/v1alpha1",
        "kind": "ResilientSlice",
        "metadata": {"name": NAME, "namespace": REAL},
        "spec": {
            "services": [
                {**service("api", version, "payments", "catalog"), "expose": {"pathPrefix": "/"}},
                service("payments", OLD, "ledger"),
                service("catalog", OLD),
                service("ledger", OLD),
            ],
            "proxy": {"replicas": proxies},
            "resilience": {"timeout": "800ms", "retries": {"attempts": 2, "perTryTimeout": "250ms"}},
            "canary": {"weight": 0},
        },
    }
