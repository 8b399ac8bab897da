"""Breaks the pure packages in small seeded ways, one at a time, and reports which changes no test notices.

A mutant is a flipped comparison, a negated condition, a dropped statement or entry, a number off by one. Each is made
in a temporary copy of the source root; the work tree is never touched. The same seed makes the same mutants.
"""

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "operator"
PACKAGES = ("api", "render", "canary")
WORKERS = 2
SLOWEST = 6.0
"""A mutant may take this many times as long as the untouched code before it counts as caught: it hangs."""

FLIPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A change that could be made: of which file, to which node in the order of ast.walk, and of which kind."""

    path: Path
    number: int
    kind: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: the file, the line it is in, what kind of change, and the file's text with it."""

    path: Path
    line: int
    kind: str
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}: {self.before} -> {self.after}"


@dataclass(frozen=True, slots=True)
class Outcome:
    mutant: Mutant
    caught_by: str
    """The first test that failed, or `hang`; empty for a mutant that survived."""
    seconds: float


def flip_comparison(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in FLIPPED:
        node.ops[0] = FLIPPED[type(node.ops[0])]()
        return node
    return None


def swap_and_or(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return node
    return None


def negate_condition(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.If | ast.IfExp):
        node.test = ast.UnaryOp(ast.Not(), node.test)
        return node
    return None


def drop_statement(node: ast.AST) -> ast.AST | None:
    is_call = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
    if is_call or isinstance(node, ast.AugAssign | ast.Raise | ast.Continue):
        return ast.Pass()
    return None


def drop_entry(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.Dict) and len(node.keys) > 1:
        del node.keys[0], node.values[0]
        return node
    return None


def off_by_one(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return ast.Constant(node.value + 1)
    return None


def flip_boolean(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        return ast.Constant(not node.value)
    return None


MUTATIONS: dict[str, Callable[[ast.AST], ast.AST | None]] = {
    "comparison flipped": flip_comparison,
    "and/or swapped": swap_and_or,
    "condition negated": negate_condition,
    "statement dropped": drop_statement,
    "entry dropped": drop_entry,
    "number off by one": off_by_one,
    "boolean flipped": flip_boolean,
}


class Replace(ast.NodeTransformer):
    """Puts one node in the place of another, which is told by identity."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old = old
        self.new = new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def shown(node: ast.AST) -> str:
    """The first line of a node's code."""
    return ast.unparse(node).splitlines()[0]


def decorators(node: ast.AST) -> list[ast.expr]:
    return node.decorator_list if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) else []


def candidates_of(path: Path, source: str) -> Iterator[Candidate]:
    """Every change that can be made to a file, in the order of its nodes."""
    tree = ast.parse(source)
    # `frozen=True` and the like: nothing that behaves
    decorations = {
        id(part) for node in ast.walk(tree) for decorator in decorators(node) for part in ast.walk(decorator)
    }
    for number, node in enumerate(ast.walk(tree)):
        for kind, mutate in MUTATIONS.items():
            if id(node) not in decorations and mutate(copy.deepcopy(node)) is not None:
                yield Candidate(path, number, kind)


def make(candidate: Candidate, source: str) -> Mutant:
    """The changed file of a candidate that `candidates_of` found in this source."""
    tree = ast.parse(source)
    node = list(ast.walk(tree))[candidate.number]
    changed = MUTATIONS[candidate.kind](copy.deepcopy(node))
    if changed is None:
        raise ValueError(f"{candidate} is not of this source")
    before, line = shown(node), getattr(node, "lineno", 0)
    text = ast.unparse(ast.fix_missing_locations(Replace(node, changed).visit(tree)))
    return Mutant(candidate.path, line, candidate.kind, before, shown(changed), text)


def choose(candidates: Sequence[Candidate], count: int, seed: int) -> list[Candidate]:
    """`count` of them, the same for the same seed: kinds in turn, so that the many numbers don't crowd out the rest."""
    dice = random.Random(seed)
    by_kind = {kind: [one for one in candidates if one.kind == kind] for kind in MUTATIONS}
    for group in by_kind.values():
        dice.shuffle(group)
    chosen: list[Candidate] = []
    while len(chosen) < count and any(by_kind.values()):
        chosen += [group.pop() for group in by_kind.values() if group]
    return chosen[:count]


def tests_of(package: str) -> list[str]:
    """The unit tests that name a package, which should notice when it breaks, and then all golden files."""
    named = (f"resilientslice.{package}", f"resilientslice import {package}")
    units = [
        path for path in sorted((ROOT / "tests/unit").rglob("test_*.py")) if any(n in path.read_text() for n in named)
    ]
    golden = sorted((ROOT / "tests/golden").rglob("test_*.py"))
    return [str(path.relative_to(ROOT)) for path in units + golden] if units else []


def run_tests(source_root: Path, tests: Sequence[str], timeout: float | None) -> tuple[str, float]:
    """Run tests against a copy of the source root. Returns the first failure, empty if there is none, and seconds."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(source_root),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(source_root / ".hypothesis"),
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-n0", "--hypothesis-seed=1", *tests]
    started = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return "hang", time.monotonic() - started
    seconds = time.monotonic() - started
    if done.returncode == 0:
        return "", seconds
    failures = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return (failures or (done.stdout + done.stderr).splitlines()[-1:] or ["?"])[0], seconds


def copy_source(folder: Path) -> Path:
    target = folder / "operator"
    shutil.copytree(SOURCE, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return target


def judge(mutant: Mutant, tests: Sequence[str], timeout: float) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="rslice-mutant-") as folder:
        copied = copy_source(Path(folder))
        (copied / mutant.path).write_text(mutant.source)
        caught_by, seconds = run_tests(copied, tests, timeout)
    return Outcome(mutant, caught_by, seconds)


def baseline(package: str, tests: Sequence[str]) -> float:
    """Seconds that the tests take on an untouched copy; ends the program when they fail on it, or import another."""
    with tempfile.TemporaryDirectory(prefix="rslice-mutant-") as folder:
        copied = copy_source(Path(folder))
        where = subprocess.run(
            [sys.executable, "-c", "import resilientslice; print(resilientslice.__file__)"],
            env={**os.environ, "PYTHONPATH": str(copied)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        if not where.startswith(str(copied)):
            raise SystemExit(f"error: the tests would import {where.strip()}, not the copy in {copied}")
        failure, seconds = run_tests(copied, tests, None)
    if failure:
        raise SystemExit(f"error: the tests of {package} fail without any mutant: {failure}")
    return seconds


def try_package(package: str, count: int, seed: int) -> list[Outcome]:
    """Make and judge the mutants of one package, printing each verdict as it comes."""
    tests = tests_of(package)
    files = sorted((SOURCE / "resilientslice" / package).rglob("*.py"))
    candidates = [c for path in files for c in candidates_of(path.relative_to(SOURCE), path.read_text())]
    if not tests or not candidates:
        print(f"{package}: {len(candidates)} possible mutants, {len(tests)} test files: nothing to do")
        return []
    seconds = baseline(package, tests)
    chosen = [make(one, (SOURCE / one.path).read_text()) for one in choose(candidates, count, seed)]
    print(f"{package}: {len(chosen)} of {len(candidates)} mutants, {len(tests)} test files, {seconds:.0f} s untouched")
    outcomes = []
    with ThreadPoolExecutor(WORKERS) as pool:
        for outcome in pool.map(lambda mutant: judge(mutant, tests, 30 + SLOWEST * seconds), chosen):
            verdict = "caught  " if outcome.caught_by else "SURVIVED"
            print(f"  {verdict} {outcome.seconds:5.1f} s  {outcome.mutant}", flush=True)
            if outcome.caught_by:
                print(f"                    {outcome.caught_by[:150]}", flush=True)
            outcomes.append(outcome)
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="*", default=list(PACKAGES), help=f"default: {' '.join(PACKAGES)}")
    parser.add_argument("--count", type=int, default=10, help="mutants a package (default: 10)")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "1")), help="default: $SEED or 1")
    options = parser.parse_args()
    print(f"SEED={options.seed}")
    outcomes = [o for package in options.packages for o in try_package(package, options.count, options.seed)]
    survived = [outcome for outcome in outcomes if not outcome.caught_by]
    print(f"{len(outcomes) - len(survived)} caught, {len(survived)} survived")
    return 1 if survived or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
