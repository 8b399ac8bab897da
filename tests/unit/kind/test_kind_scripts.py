"""The programs that run inside nodes and beside dockerd: the stand-in for crictl and the wrapper of runc."""

import importlib.machinery
import importlib.util
import json
import os
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

KIND = Path(__file__).resolve().parents[2] / "kind"
LISTED = """\
REF TYPE DIGEST SIZE PLATFORMS LABELS
docker.io/library/redis:7 application/x sha256:aaa 1 MiB linux/amd64 -
example.org/shop/api:1.0.0 application/x sha256:bbb 1 MiB linux/amd64 -
example.org/shop/api:1.1.0 application/x sha256:bbb 1 MiB linux/amd64 -
import-2026-01-01@sha256:bbb application/x sha256:bbb 1 MiB linux/amd64 -
sha256:id-of-redis application/x sha256:aaa 1 MiB linux/amd64 -
sha256:id-of-api application/x sha256:bbb 1 MiB linux/amd64 -
"""


@pytest.fixture
def crictl(tmp_path: Path):
    (tmp_path / "ctr").write_text(f"#!/bin/sh\ncat <<'LIST'\n{LISTED}LIST\n")
    (tmp_path / "ctr").chmod(0o755)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        command = ["bash", str(KIND / "node" / "crictl"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize(
    ("wanted", "image_id", "tags"),
    [
        ("redis:7", "sha256:id-of-redis", ["docker.io/library/redis:7"]),
        ("library/redis:7", "sha256:id-of-redis", ["docker.io/library/redis:7"]),
        ("docker.io/library/redis:7", "sha256:id-of-redis", ["docker.io/library/redis:7"]),
        ("id-of-redis", "sha256:id-of-redis", ["docker.io/library/redis:7"]),
        (
            "example.org/shop/api:1.1.0",
            "sha256:id-of-api",
            ["example.org/shop/api:1.0.0", "example.org/shop/api:1.1.0"],
        ),
        ("sha256:id-of-api", "sha256:id-of-api", ["example.org/shop/api:1.0.0", "example.org/shop/api:1.1.0"]),
    ],
)
def test_crictl_finds_an_image_under_each_of_its_names(crictl, wanted: str, image_id: str, tags: list[str]) -> None:
    done = crictl("inspecti", wanted)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"status": {"id": image_id, "repoTags": tags}}


def test_crictl_fails_for_an_image_that_is_not_there(crictl) -> None:
    assert crictl("inspecti", "redis:8").returncode == 1
    assert crictl("inspecti", "example.org/shop/api:1").returncode == 1


def test_crictl_lists_names_and_digests(crictl) -> None:
    assert "docker.io/library/redis:7 sha256:aaa" in crictl("images").stdout.splitlines()


def test_crictl_says_what_it_is_not(crictl) -> None:
    done = crictl("pods")
    assert done.returncode == 2
    assert "only images and inspecti" in done.stderr


@pytest.fixture(scope="module")
def wrapper() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("runc_wrapper", str(KIND / "runc-wrapper"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_the_wrapper_asks_for_nothing_that_can_not_be_granted(wrapper: ModuleType) -> None:
    far = 2**62
    process = {
        "args": ["x"],
        "capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"], "ambient": None},
        "oomScoreAdj": -999,
        "rlimits": [
            {"type": "RLIMIT_CORE", "hard": 0, "soft": 0},
            {"type": "RLIMIT_NOFILE", "hard": far, "soft": far},
            {"type": "RLIMIT_UNHEARD_OF", "hard": 1, "soft": 1},
        ],
    }
    changed = wrapper.possible(process)
    assert changed["args"] == ["x"]
    assert changed["capabilities"] == {"bounding": ["CAP_CHOWN"], "ambient": []}
    assert changed["oomScoreAdj"] == 0
    assert [limit["type"] for limit in changed["rlimits"]] == ["RLIMIT_CORE"]


def test_the_wrapper_leaves_a_positive_oom_score(wrapper: ModuleType) -> None:
    assert wrapper.possible({"oomScoreAdj": 500})["oomScoreAdj"] == 500
    assert "oomScoreAdj" not in wrapper.possible({})


@pytest.mark.parametrize(
    "arguments",
    [
        ["--root", "/r", "create", "--bundle", "BUNDLE", "id"],
        ["create", "--bundle=BUNDLE", "id"],
        ["run", "-b", "BUNDLE", "id"],
    ],
)
def test_the_wrapper_changes_the_bundle(wrapper: ModuleType, tmp_path: Path, arguments: list[str]) -> None:
    spec = {"hostname": "h", "process": {"oomScoreAdj": -1}}
    (tmp_path / "config.json").write_text(json.dumps(spec))
    wrapper.prepare([argument.replace("BUNDLE", str(tmp_path)) for argument in arguments])
    changed = json.loads((tmp_path / "config.json").read_text())
    assert changed["hostname"] == "h"
    assert changed["process"]["oomScoreAdj"] == 0


def test_the_wrapper_changes_the_process_of_an_exec(wrapper: ModuleType, tmp_path: Path) -> None:
    process = tmp_path / "process.json"
    process.write_text(json.dumps({"oomScoreAdj": -1}))
    wrapper.prepare(["exec", "--process", str(process), "id"])
    assert json.loads(process.read_text())["oomScoreAdj"] == 0


def test_the_wrapper_leaves_other_commands_alone(wrapper: ModuleType) -> None:
    wrapper.prepare(["delete", "--force", "id"])
    wrapper.prepare(["exec", "id", "true"])
