"""Facts about the project that more than one file states, so that they can't drift apart."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from resilientslice.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "operator" / "resilientslice"
PURE = ("api", "render", "canary", "slo", "backup", "reconcile")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def pure() -> list[str]:
    """The pure packages that exist, by their path in the package."""
    return [name for name in PURE if (PACKAGE / name).exists()]


def test_every_pure_package_is_under_the_contract(project: dict[str, Any], pure: list[str]) -> None:
    contract = next(c for c in project["tool"]["importlinter"]["contracts"] if c["name"].startswith("PURE"))
    modules = [f"resilientslice.{name.removesuffix('.py').replace('/', '.')}" for name in pure]
    assert sorted(contract["source_modules"]) == sorted(modules)


def test_every_pure_package_is_held_to_its_branch_coverage(project: dict[str, Any], pure: list[str]) -> None:
    report = project["tool"]["coverage"]["report"]
    patterns = [f"*/resilientslice/{name}" if name.endswith(".py") else f"*/resilientslice/{name}/*" for name in pure]
    assert sorted(report["include"]) == sorted(patterns)
    assert report["fail_under"] >= 95
    assert project["tool"]["coverage"]["run"]["branch"] is True


def test_operator_is_a_source_root_and_never_a_package() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_registered_subcommand_exists(name: str) -> None:
    assert (PACKAGE / "commands" / f"{name}.py").is_file()


def test_help_lists_each_subcommand_and_loads_none() -> None:
    program = (
        "import sys; from click.testing import CliRunner; from resilientslice.cli import cli; "
        "print(CliRunner().invoke(cli, ['--help'], terminal_width=80).output, *sys.modules, sep=chr(10))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for name, summary in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", done.stdout, re.MULTILINE), "whole, in a line"
    assert "resilientslice.commands" not in done.stdout.splitlines()


def test_every_target_of_the_makefile_has_its_help_and_its_script() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: ([a-z-]+)$", makefile, re.MULTILINE))
    helped = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert phony == helped
    scripts = set(re.findall(r"scripts/[a-z_-]+\.(?:sh|py)", makefile))
    assert sorted(name for name in scripts if not (ROOT / name).is_file()) == []


def test_requirements_are_locked_with_hashes() -> None:
    sources = sorted(path.stem for path in (ROOT / "requirements").glob("*.in"))
    assert sources == sorted(path.stem for path in (ROOT / "requirements").glob("*.txt"))
    for name in sources:
        lock = (ROOT / "requirements" / f"{name}.txt").read_text()
        pins = re.findall(r"^[A-Za-z0-9].*$", lock, re.MULTILINE)
        assert pins
        assert [pin for pin in pins if "==" not in pin or not pin.endswith("\\")] == [], name
        assert lock.count("--hash=sha256:") >= len(pins)


def test_continuous_integration_runs_what_a_developer_runs() -> None:
    run = (ROOT / ".ci" / "run").read_text()
    (targets,) = re.findall(r"^targets=\((.*)\)$", run, re.MULTILINE)
    assert targets.split()[1:] == ["lint", "verify", "test", "test-apiserver", "demo", "e2e-smoke"]
