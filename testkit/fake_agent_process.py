"""`python -m testkit.fake_agent_process`: the agents of many pods in one process, each with an address of its own.

Standard input tells which pod has which address: a line `ADDRESS UID` each. Ends when it does.
"""

import argparse
import asyncio
import resource
import sys
from pathlib import Path

from aiohttp import web

from resilientslice.agent.guard import Guard
from resilientslice.agent.keys import KeyRing
from resilientslice.agent.metrics import AgentMetrics
from resilientslice.render.names import AGENT_PORT
from testkit.fake_agents import FakeAgent, fake_address


class Fakes:
    def __init__(self, key_dir: Path) -> None:
        self._ring, self._metrics = KeyRing(key_dir), AgentMetrics()
        self._agents: dict[str, FakeAgent] = {}

    def add(self, address: str, uid: str) -> None:
        self._agents[address] = FakeAgent(address, uid, Guard(self._ring, uid, self._metrics))

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        agent = self._agents.get(request.transport.get_extra_info("sockname")[0])
        if agent is None:
            return web.json_response({"error": "no such pod yet"}, status=503)
        answer: web.StreamResponse = await agent.serve(request)  # type: ignore[arg-type,unused-ignore]
        return answer


async def serve(network: str, count: int, key_dir: Path) -> None:
    fakes = Fakes(key_dir)
    runner = web.ServerRunner(web.Server(fakes.serve, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    for number in range(1, count + 1):
        await web.TCPSite(runner, fake_address(network, number), AGENT_PORT).start()
    print("started", flush=True)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        address, uid = line.decode().split()
        fakes.add(address, uid)
    await runner.cleanup()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m testkit.fake_agent_process", description=__doc__)
    parser.add_argument("--network", required=True, help="first two bytes of all addresses: 127.80")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--key-dir", type=Path, required=True, help="folder with the file `current`")
    values = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(serve(values.network, values.count, values.key_dir))
    return 0


if __name__ == "__main__":
    sys.exit(main())
