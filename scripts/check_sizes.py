"""Keeps files under 400 lines, functions under 60, and imports of the project's own modules under 21: what is longer is
two things, and nobody reads it to the end; what needs more of the others knows too much of them. And a module of the
operator under 30 lines that one other module imports is a part of that one.

A function that has to be longer says why beside its `def`: `# long: REASON`. Tests are no exception: a longer
file of them has two subjects.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 60
IMPORTED_MODULES = 20
MODULE_LINES = 30
OPERATOR = Path("operator")
ONE_KIND_A_FILE = "resilientslice.render."
"""Where a small module is a kind of object."""
OURS = ("resilientslice", "slicekit", "shop_", "testkit", "tests", "scripts")
"""How the names of the project's own packages begin."""
REASON = "# long: "
SIGNATURE_END = re.compile(r":\s*(#.*)?$")


def python_files() -> list[Path]:
    """Every Python file that is, or is about to be, part of the project."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.py"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return [Path(name) for name in names if name and Path(name).is_file()]


def gives_reason(lines: list[str]) -> bool:
    """Whether the signature that `lines` begin with has a reason in one of its lines; it ends at a colon."""
    for line in lines:
        if REASON in line or SIGNATURE_END.search(line):
            return REASON in line
    return False


def long_functions(source: str) -> Iterator[tuple[int, str, int]]:
    """Line, name and length of each function that is too long and gives no reason. Decorators don't count."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > FUNCTION_LINES and not gives_reason(lines[node.lineno - 1 :]):
            yield node.lineno, node.name, length


def imported_modules(source: str) -> set[str]:
    """The project's own modules that are imported, anywhere in a module and as they are written."""
    found = set[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return {name for name in found if name.startswith(OURS)}


def lonely(sources: Mapping[Path, str]) -> Iterator[str]:
    """Small modules of the operator that only one other module imports."""
    paths = [path for path in sources if path.is_relative_to(OPERATOR) and path.stem != "__init__"]
    modules = {name_of(path): path for path in paths}
    users = dict[str, set[str]]()
    for name, path in modules.items():
        for imported in imported_names(sources[path]):
            users.setdefault(imported, set()).add(name)
    for name, path in modules.items():
        count, only = len(sources[path].splitlines()), users.get(name, set())
        if count < MODULE_LINES and len(only) == 1 and not name.startswith(ONE_KIND_A_FILE):
            yield f"{path}:1: {count} lines that {min(only)} alone imports: join them"


def name_of(path: Path) -> str:
    """`resilientslice.planning.plan` of `operator/resilientslice/planning/plan.py`."""
    return ".".join(path.relative_to(OPERATOR).with_suffix("").parts)


def imported_names(source: str) -> set[str]:
    """Modules that are imported, also by the name that they have in their package."""
    named = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom))
    return imported_modules(source) | {f"{node.module}.{alias.name}" for node in named for alias in node.names}


def findings(path: Path, source: str) -> Iterator[str]:
    """What is too long in one file, as `FILE:LINE: what`."""
    count = len(source.splitlines())
    if count > FILE_LINES:
        yield f"{path}:1: {count} lines, at most {FILE_LINES}: split it by topic"
    imports = len(imported_modules(source))
    if imports > IMPORTED_MODULES:
        advice = "move out what needs some of them"
        yield f"{path}:1: imports {imports} modules of ours, at most {IMPORTED_MODULES}: {advice}"
    for line, name, length in long_functions(source):
        yield f"{path}:{line}: {name} has {length} lines, at most {FUNCTION_LINES}: split it, or add `{REASON}REASON`"


def main() -> int:
    sources = {path: path.read_text(encoding="utf-8") for path in python_files()}
    found = [finding for path, source in sources.items() for finding in findings(path, source)]
    found += lonely(sources)
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
