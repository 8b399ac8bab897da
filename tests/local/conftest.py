"""What tests with real processes share: a journal, a folder, and a check that nothing is left."""

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
import pytest
import yaml

from resilientslice.local.processes.folder import StateFolder
from resilientslice.local.processes.ledger import Ledger
from resilientslice.local.settings import RunSettings

SAMPLES = Path(__file__).parents[2] / "samples"
WITHIN = 90.0
"""Seconds; guards against hanging alone."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    opened = StateFolder(tmp_path / "state")
    yield opened
    opened.remove_temporaries()
    opened.close()


@pytest.fixture
def ledger(folder: StateFolder) -> Ledger:
    return Ledger(folder)


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """`await until(lambda: condition)`: polls, and fails after `WITHIN` seconds."""

    async def wait(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(WITHIN):
            while not condition():
                await asyncio.sleep(0.01)

    return wait


def processes_in(folder: Path) -> list[psutil.Process]:
    """Every living process that works in the folder, also one that lost its parent."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.fixture
def living(tmp_path: Path) -> Callable[[], list[psutil.Process]]:
    """What lives in the test's folder now."""
    return lambda: processes_in(tmp_path)


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """Every process that works in the test's folder is gone at its end."""
    yield
    left = processes_in(tmp_path)
    said = [" ".join(process.cmdline()) for process in left]
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    assert said == []


def patient_shop(folder: Path) -> Path:
    """A copy of the sample shop whose times a machine that is busy and slow doesn't reach."""
    document = yaml.safe_load((SAMPLES / "shop.yaml").read_text())
    document["spec"]["resilience"] |= {"timeout": "60s", "retries": {"perTryTimeout": "20s"}}
    for service in document["spec"]["services"]:
        service.pop("resilience", None)
    file = folder / "shop.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    shutil.copy(SAMPLES / "shop.procfile", folder)
    return file


TINY = Path(__file__).with_name("tiny.py")

SLICE = """\
apiVersion: resilientslice.dev/v1alpha1
kind: ResilientSlice
metadata: {name: tiny}
spec:
  services:
  - name: web
    image: example.org/web:1
    port: 8080
    replicas: 2
    expose: {pathPrefix: /}
    dependsOn: [peer]
    env:
    - {name: GREETING, value: hello}
    - {name: TOKEN, valueFrom: {secretKeyRef: {name: keys, key: token}}}
  - name: peer
    image: example.org/peer:1
    port: 9000
    replicas: 1
  canary: {weight: 0}
  resilience: {timeout: 60s, retries: {perTryTimeout: 20s}}
"""


@dataclass(frozen=True, slots=True)
class Files:
    """A slice's files in a folder of their own."""

    file: Path

    def edit(self, old: str, new: str) -> None:
        text = self.file.read_text()
        assert old in text
        self.file.write_text(text.replace(old, new))

    def rename(self, old: str, new: str) -> None:
        """Give a service another name, in the resource and in the Procfile."""
        for path in (self.file, self.procfile):
            path.write_text(path.read_text().replace(old, new))

    @property
    def procfile(self) -> Path:
        return self.file.with_suffix(".procfile")

    @property
    def settings(self) -> RunSettings:
        return RunSettings(file=self.file, port=0, watch=False)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Two tiny services, `web` with a version by its image's tag."""
    made = Files(tmp_path / "tiny.yaml")
    made.file.write_text(SLICE)
    made.procfile.write_text(f"web: python {TINY} 1\nweb@2: python {TINY} 2\npeer: python {TINY} 1\n")
    made.file.with_suffix(".env").write_text("keys/token=s3cret\n")
    return made


Fetch = Callable[..., Awaitable[tuple[int, dict[str, str]]]]


@pytest.fixture
def fetch() -> Fetch:
    """`await fetch(url, headers)`: status and JSON of a GET."""

    async def get(url: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str]]:
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    return get
