"""The mutants that judge the tests: each kind changes just one thing, the same seed makes the same ones."""

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATH = Path("resilientslice/api/x.py")


@pytest.fixture(scope="module")
def mutants() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "scripts" / "mutants.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("kind", "source", "changed"),
    [
        ("comparison flipped", "a < b", "a <= b"),
        ("comparison flipped", "a not in b", "a in b"),
        ("and/or swapped", "a and b", "a or b"),
        ("condition negated", "a if b else c", "a if not b else c"),
        ("statement dropped", "f()", "pass"),
        ("statement dropped", "a += 1", "pass"),
        ("statement dropped", "raise ValueError", "pass"),
        ("entry dropped", "{'a': b, 'c': d}", "{'c': d}"),
        ("number off by one", "x = 7", "x = 8"),
        ("boolean flipped", "x = True", "x = False"),
    ],
)
def test_each_kind_changes_one_thing(mutants: ModuleType, kind: str, source: str, changed: str) -> None:
    (candidate,) = [one for one in mutants.candidates_of(PATH, source) if one.kind == kind]
    mutant = mutants.make(candidate, source)
    assert mutant.source == changed
    assert (mutant.path, mutant.line, mutant.kind) == (PATH, 1, kind)


@pytest.mark.parametrize(
    "source",
    [
        '"""Only words."""',
        "x: int",
        "x = 'True'",
        "x = {'a': b}",
        "from a import b",
        "@d(frozen=True)\nclass C:\n    x: int",
    ],
)
def test_what_no_test_could_notice_is_left_alone(mutants: ModuleType, source: str) -> None:
    assert list(mutants.candidates_of(PATH, source)) == []


def test_every_mutant_of_our_own_code_is_another_valid_program(mutants: ModuleType) -> None:
    source = (ROOT / "operator/resilientslice/api/scalars.py").read_text()
    plain = ast.unparse(ast.parse(source))
    for candidate in mutants.candidates_of(PATH, source):
        text = mutants.make(candidate, source).source
        assert text != plain, candidate
        ast.parse(text)


def test_a_candidate_of_another_source_is_refused(mutants: ModuleType) -> None:
    (candidate,) = mutants.candidates_of(PATH, "x = a < b")
    with pytest.raises(ValueError, match="not of this source"):
        mutants.make(candidate, "x = a.b.c")


def test_the_same_seed_chooses_the_same_and_kinds_take_turns(mutants: ModuleType) -> None:
    source = "\n".join(f"x{number} = {number}" for number in range(20)) + "\na < b\n"
    candidates = list(mutants.candidates_of(PATH, source))
    chosen = mutants.choose(candidates, 4, seed=3)
    assert chosen == mutants.choose(candidates, 4, seed=3)
    assert chosen != mutants.choose(candidates, 4, seed=4)
    assert len(set(chosen)) == 4
    assert sum(one.kind == "comparison flipped" for one in chosen) == 1
    assert len(mutants.choose(candidates, 1000, seed=3)) == len(candidates)


def test_a_failing_test_names_itself_and_a_hang_is_a_catch(mutants: ModuleType, tmp_path: Path) -> None:
    failing, passing = tmp_path / "test_a.py", tmp_path / "test_c.py"
    failing.write_text("def test_a(): assert False\n")
    passing.write_text("def test_c(): pass\n")
    assert "test_a" in mutants.run_tests(tmp_path, [str(failing)], 60)[0]
    assert mutants.run_tests(tmp_path, [str(passing)], 60)[0] == ""
    assert mutants.run_tests(tmp_path, [str(passing)], 0.01)[0] == "hang"
