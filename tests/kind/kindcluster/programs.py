"""Runs kind and kubectl for one cluster, with that cluster's kubeconfig and no other."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kindcluster.places import Cluster
from kindcluster.words import ClusterError


@dataclass(frozen=True, slots=True)
class Programs:
    cluster: Cluster
    kind: Path

    def environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig)}

    def run_kind(self, *arguments: str, stdin: str | None = None) -> str:
        return execute([str(self.kind), *arguments], self.environment(), stdin)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return execute([str(kubectl()), *arguments], self.environment(), stdin)

    def nodes(self) -> list[str]:
        """The cluster's node containers; empty when there is no such cluster."""
        return sorted(
            name
            for name in self.run_kind("get", "nodes", f"--name={self.cluster.name}").split()
            if name.startswith(f"{self.cluster.name}-")
        )


def kubectl() -> Path:
    """The one of the virtual environment, else the user's."""
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.is_file() else shutil.which("kubectl")
    if found is None:
        raise ClusterError("there is no kubectl: run `make install`")
    return Path(found)


def execute(command: list[str], environment: Mapping[str, str], stdin: str | None = None) -> str:
    """Standard output; a ClusterError with everything that was said when the command fails."""
    done = subprocess.run(command, env=environment, input=stdin or "", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(
            f"{Path(command[0]).name} {' '.join(command[1:])} ended with {done.returncode}:\n{done.stderr}{done.stdout}"
        )
    return done.stdout
