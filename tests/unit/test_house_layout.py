"""Facts about the project that more than one file states, so that they can't drift apart."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from resilientslice.cli import COMMANDS
from resilientslice.planning.readiness import BY_WHAT_WAS_ASKED_FOR, CALLERS_ARE_SERVED

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "operator" / "resilientslice"
IO = frozenset(
    [
        "aiohttp",
        "asyncio",
        "grpc",
        "io",
        "kopf",
        "kubernetes",
        "os",
        "pathlib",
        "psutil",
        "random",
        "secrets",
        "shutil",
        "socket",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "uuid",
        "yaml",
    ]
)
MIXED = ("applying", "claims", "envoys", "history", "rollouts", "stores", "workqueue")
"""Packages of both kinds: decisions, and what carries them out."""


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def pure(project: dict[str, Any]) -> list[str]:
    """Packages and modules that the linter holds to be pure."""
    contract = next(c for c in project["tool"]["importlinter"]["contracts"] if c["name"].startswith("PURE"))
    return sorted(contract["source_modules"])


def test_every_decision_is_under_the_contract(pure: list[str]) -> None:
    """A module beside I/O that could be pure has to be."""
    forgotten = []
    for path in sorted(path for package in MIXED for path in (PACKAGE / package).glob("[!_]*.py")):
        name = f"resilientslice.{path.parent.name}.{path.stem}"
        if name not in pure and not _does_io(path):
            forgotten.append(name)
    assert forgotten == [], "pyproject.toml: add them to the contract of what is PURE"


def _does_io(path: Path) -> bool:
    """It awaits something, or imports what could."""
    found = list(ast.walk(ast.parse(path.read_text())))
    imported = {name.name.split(".")[0] for node in found if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module.split(".")[0] for node in found if isinstance(node, ast.ImportFrom) and node.module}
    kube = {node.module for node in found if isinstance(node, ast.ImportFrom) and node.module}
    awaits = any(isinstance(node, (ast.Await, ast.AsyncFunctionDef)) for node in found)
    return awaits or bool(imported & IO) or bool(kube & {"resilientslice.kube.cache", "resilientslice.kube.errors"})


def test_what_is_pure_is_held_to_its_branch_coverage(project: dict[str, Any], pure: list[str]) -> None:
    report = project["tool"]["coverage"]["report"]
    paths = [name.replace(".", "/") for name in pure]
    patterns = [f"*/{path}.py" if (PACKAGE.parent / f"{path}.py").is_file() else f"*/{path}/*" for path in paths]
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


def test_the_pages_packages_are_the_packages(project: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page.partition("## Packages")[2].partition("```")[0]
    named = {name for row in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert named == there - {"__init__"}, "docs/architecture.md: a row for each package"


def test_the_pages_layers_are_the_linters(project: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    contract = next(c for c in project["tool"]["importlinter"]["contracts"] if c["name"].startswith("Layers"))
    layers = [re.sub(r"resilientslice\.|[()]", "", layer) for layer in contract["layers"]]
    assert "```\n" + "\n".join(layers) + "\n```" in page, "docs/architecture.md: the block of layers"


def test_every_module_with_a_subcommand_is_registered() -> None:
    commands = {
        path.stem
        for path in (PACKAGE / "commands").glob("*.py")
        if re.search(r"^def command\(", path.read_text(), re.MULTILINE)
    }
    assert commands == COMMANDS.keys(), "operator/resilientslice/cli.py: COMMANDS"


def test_every_check_of_readiness_is_asked() -> None:
    """A function that takes a view and gives a finding, and stands on neither list, decides nothing."""
    lists = (*CALLERS_ARE_SERVED, *BY_WHAT_WAS_ASKED_FOR)
    tree = ast.parse((PACKAGE / "planning" / "readiness.py").read_text())
    checks = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and node.returns is not None
        and ast.unparse(node.returns) == "Finding | None"
        if [argument.arg for argument in node.args.args] == ["view"]
    }
    assert checks == {check.__name__ for check in lists}, (
        "operator/resilientslice/planning/readiness.py: put it on CALLERS_ARE_SERVED or BY_WHAT_WAS_ASKED_FOR"
    )
