"""The repository's own checks find what they are there to find, and nothing else."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load(name: str) -> ModuleType:
    """A script as a module: scripts/ is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sizes() -> ModuleType:
    return load("check_sizes")


@pytest.fixture(scope="module")
def house() -> ModuleType:
    return load("check_house")


def function(lines: int, signature: str = "def f():", indent: str = "") -> str:
    body = "\n".join(f"{indent}    x = {number}" for number in range(lines - 1))
    return f"{indent}{signature}\n{body}\n"


def test_a_file_may_have_400_lines_and_no_more(sizes: ModuleType) -> None:
    path = Path("operator/x.py")
    assert list(sizes.findings(path, "x = 1\n" * 400)) == []
    (found,) = sizes.findings(path, "x = 1\n" * 401)
    assert found.startswith("operator/x.py:1: 401 lines")


@pytest.mark.parametrize("folder", ["operator", "services/api", "scripts", "tests/unit", "testkit"])
def test_a_test_may_be_as_long_as_any_other_file_and_no_longer(sizes: ModuleType, folder: str) -> None:
    path = Path(folder) / "test_x.py"
    assert list(sizes.findings(path, "x = 1\n" * 400)) == []
    (found,) = sizes.findings(path, "x = 1\n" * 401)
    assert found.startswith(f"{path}:1: 401 lines")
    (found,) = sizes.findings(path, function(61))
    assert "f has 61 lines" in found


def test_a_function_may_have_60_lines_and_no_more(sizes: ModuleType) -> None:
    assert list(sizes.long_functions(function(60))) == []
    assert list(sizes.long_functions(function(61))) == [(1, "f", 61)]


def test_a_small_module_that_one_other_imports_is_a_part_of_it(sizes: ModuleType) -> None:
    small, user = Path("operator/resilientslice/a/small.py"), Path("operator/resilientslice/a/user.py")
    by_module, by_name = "from resilientslice.a.small import x\n", "from resilientslice.a import small\n"
    for imports in (by_module, by_name):
        (found,) = sizes.lonely({small: "x = 1\n" * 29, user: imports})
        assert found == f"{small}:1: 29 lines that resilientslice.a.user alone imports: join them"
        assert not list(sizes.lonely({small: "x = 1\n" * 30, user: imports}))
    assert not list(sizes.lonely({small: "x = 1\n", user: by_module, user.with_name("other.py"): by_name}))


def test_a_module_may_import_20_of_ours_and_no_more(sizes: ModuleType) -> None:
    lines = [f"from resilientslice.m{number} import a, b" for number in range(19)] + ["import slicekit.health, os, sys"]
    twice = "from resilientslice.m1 import c\nfrom aiohttp import web\n"
    path = Path("operator/x.py")
    assert list(sizes.findings(path, "\n".join(lines) + "\n" + twice)) == []
    (found,) = sizes.findings(path, "\n".join([*lines, "def f():", "    import resilientslice.late"]))
    assert found.startswith("operator/x.py:1: imports 21 modules of ours")


def test_methods_and_coroutines_count_and_decorators_do_not(sizes: ModuleType) -> None:
    method = "class C:\n    @staticmethod\n" + function(60, "async def g():", "    ")
    assert list(sizes.long_functions(method)) == []
    assert list(sizes.long_functions(method + "        y = 1\n")) == [(3, "g", 61)]


@pytest.mark.parametrize(
    ("signature", "accepted"),
    [
        ("def f():  # long: one table of the whole protocol", True),
        ("def f(\n    a: int,\n):  # long: one table", True),
        ("def f():  # long", False),
        ("def f():\n    # long: said inside, where the reader is already lost", False),
    ],
)
def test_a_long_function_says_why_beside_its_def(sizes: ModuleType, signature: str, accepted: bool) -> None:
    assert (list(sizes.long_functions(function(80, signature))) == []) is accepted


@pytest.mark.parametrize(
    "line",
    [
        "cd /" + "work/main",
        'open("/' + 'root/.cache/x")',
        "see https://" + "pypi" + ".org/project/x",
        "GOPROXY=proxy." + "golang.org",
    ],
)
def test_what_ties_the_project_to_a_machine_or_a_registry_is_found(house: ModuleType, line: str) -> None:
    (found,) = house.text_findings(Path("docs/x.md"), f"first line\n{line}\n")
    assert found.startswith("docs/x.md:2: ")


@pytest.mark.parametrize(
    "line",
    ["golang.org/x/net v0.54.0", "https://kubernetes.io/docs", "at the root/ of it", "var/work/x", "$HOME/work/x"],
)
def test_ordinary_text_is_left_alone(house: ModuleType, line: str) -> None:
    assert list(house.text_findings(Path("docs/x.md"), line)) == []


@pytest.mark.parametrize(
    "line", ["--index-url http://x/simple", "--find-links wheels", "x @ https://example.org/x.whl"]
)
def test_lock_files_carry_no_addresses(house: ModuleType, line: str) -> None:
    assert list(house.text_findings(Path("requirements/app.txt"), f"{line}\n"))
    assert list(house.text_findings(Path("docs/x.md"), f"{line}\n")) == []


def test_the_tree_has_what_it_must_and_not_what_it_must_not(house: ModuleType) -> None:
    whole = set(house.REQUIRED)
    assert list(house.tree_findings(whole)) == []
    assert list(house.tree_findings(whole - {"LICENSE"})) == ["LICENSE: missing"]
    assert list(house.tree_findings(whole | {"operator/__init__.py"})) == ["operator/__init__.py: must not exist"]


def test_a_file_that_is_not_text_has_no_text(house: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"\xff\xfe/\x80")
    assert house.read_text(path) == ""
