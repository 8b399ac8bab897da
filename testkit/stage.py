"""A bare control plane with the operator, one slice whose proxies are real, and traffic to them, ended together."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import AlreadyExistsError
from resilientslice.kube.kinds import Object
from resilientslice.kube.session import Session
from testkit.api_server import Cluster
from testkit.control_plane import ControlPlane, control_plane
from testkit.documents import NAME, NEW, OLD, four_services
from testkit.hosts import SERVICE_PORT, STABLE, Names, backends
from testkit.operator_process import Command, Operator, rslice_operator
from testkit.ports import free_port
from testkit.processes import Processes
from testkit.simulation import REAL, Simulation
from testkit.slice_editor import SliceEditor
from testkit.waiting import until

NETWORK = "127.80"


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
    editor: SliceEditor = field(init=False)
    """Of the slice whose proxies are real."""

    def __post_init__(self) -> None:
        self.editor = SliceEditor(self.session, REAL, NAME)

    @property
    def client(self) -> KubeClient:
        return KubeClient(self.session)

    async def namespace(self, name: str) -> None:
        with contextlib.suppress(AlreadyExistsError):
            await self.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    async def bring_up(self, proxies: int) -> None:
        """The real slice, with a canary that is live and has no weight yet."""
        await self.namespace(REAL)
        await self.client.create(four_services(REAL, OLD, proxies))
        await self._status(lambda s: s.get("phase") == "Ready", "the slice is ready")
        # with the image, or it would belong to the revision before
        await self.editor.patch(
            {"services": four_services(REAL, NEW, proxies)["spec"]["services"], "canary": {"weight": 1}}
        )
        await self._status(
            lambda s: s["canary"]["weight"] == 1 and s["config"]["acked"] == proxies, "the canary is live"
        )

    async def _status(self, holds: Callable[[Object], object], what: str) -> None:
        await until(lambda: self.editor.statuses.status and holds(self.editor.statuses.status), what, self._said)

    def _said(self) -> str:
        pods = "\n".join(pod.said() for pod in self.simulation.pods.values())
        return f"{self.editor.said()}\n{pods}\n{self.operator.said()}"


@asynccontextmanager
async def stage(
    programs: Path,
    *,
    command: Command = rslice_operator,
    answered: bool = True,
    limits: Limits | None = None,
    network: str = NETWORK,
) -> AsyncIterator[Stage]:
    """`programs`: the folder with kube-apiserver and etcd. `command` starts the operator. `answered`: services are
    behind the proxies. Without `limits` the operator may do everything. Two stages at a time need two networks."""
    with ExitStack() as stack:
        plane = stack.enter_context(_plane(programs, limits))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rslice-b.")))
        if answered:
            Processes(folder, stack).envoy(backends(), f"http://{STABLE}:{SERVICE_PORT}/")
        names = Names()
        dns_port = await names.serve()
        stack.callback(names.close)
        pods = stack.enter_context(ExitStack())
        arguments = limits.arguments if limits else ()
        operator = Operator(plane.operators, folder, free_port(), command=command, arguments=arguments)
        stack.callback(operator.stop)
        async with Session(plane.login) as session:
            made = Stage(plane, session, Simulation(session, names, dns_port, folder, pods), operator, folder, network)
            await made.namespace("default")
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(made.simulation.run()), group.create_task(made.editor.watch())]
                await asyncio.to_thread(operator.start)
                try:
                    yield made
                finally:
                    for task in tasks:
                        task.cancel()


@contextmanager
def _plane(programs: Path, limits: Limits | None) -> Iterator[ControlPlane]:
    if limits is None:
        with control_plane(programs) as plane:
            yield plane
        return
    with control_plane(programs, groups="", flags=limits.flags) as plane:
        administrator = Cluster(plane.kubeconfig)
        administrator.kubectl("apply", "--server-side", "--filename=-", stdin=limits.roles)
        yield plane
