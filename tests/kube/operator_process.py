"""An operator whose passes only write down that they ran: what a test starts to see the process around them.

Arguments: port, name of the Lease, namespace, file to write to, `write` or `look`. With `write` a pass also creates a
ConfigMap through the guarded client, over and over, so that a test sees what a leader that was frozen still writes.
"""

import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from resilientslice.kube.kinds import SliceKey
from resilientslice.kube.lease import new_identity
from resilientslice.operating.logs import configure_logs
from resilientslice.operating.program import run
from resilientslice.operating.settings import OperatorSettings
from resilientslice.operating.world import Reconciler, World
from resilientslice.workqueue.queue import Result


class Recording:
    def __init__(self, world: World, out: Path, *, writes: bool) -> None:
        self.world, self.out, self.writes = world, out, writes

    async def reconcile(self, key: SliceKey) -> Result:
        raw = self.world.slices.get(key)
        line = {
            "at": time.time(),
            "key": str(key),
            "generation": raw["metadata"]["generation"] if raw else None,
            "children": sorted(name for _, name in self.world.children.of(key)),
        }
        with self.out.open("a") as out:
            out.write(json.dumps(line) + "\n")
        if not self.writes or raw is None:
            return Result()
        name = f"w-{os.getpid()}-{secrets.token_hex(4)}"
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": key.namespace, "name": name}}
        await self.world.client.create(made | {"data": {"at": str(time.time())}})
        return Result(next_deadline=time.time() + 0.05)


def main() -> int:
    port, lease, namespace, out, mode = sys.argv[1:]
    configure_logs("INFO", "json")
    settings = OperatorSettings(
        lease_namespace=namespace,
        lease_name=lease,
        identity=new_identity(),
        namespaces=(namespace,),
        host="127.0.0.1",
        port=int(port),
    )

    @asynccontextmanager
    async def build(world: World) -> AsyncIterator[Reconciler]:
        yield Recording(world, Path(out), writes=mode == "write")

    return run(settings, build)


if __name__ == "__main__":
    sys.exit(main())
