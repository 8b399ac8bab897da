"""Rules about the repository that no linter knows: what must be in it, and what must never be.

An address of a package registry in a lock file ties every user to it, a path of someone's machine works nowhere
else, and `operator/__init__.py` would shadow the standard library's `operator`.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

REQUIRED = ("LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md")
FORBIDDEN_FILES = ("operator/__init__.py",)
# put together here, since this file is checked too
REGISTRIES = tuple(
    ".".join(labels)
    for labels in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("crates", "io"),
        ("npmjs", "org"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("maven", "apache", "org"),
        ("deb", "debian", "org"),
    )
)
FORBIDDEN_TEXT = {
    "a package registry's address": re.compile("|".join(map(re.escape, REGISTRIES)), re.IGNORECASE),
    "a path of one machine": re.compile(r"(?<![\w.$}])/(?:root|work)/"),
}
LOCK_ADDRESS = re.compile(r"://|^\s*--(?:index-url|extra-index-url|find-links)", re.MULTILINE)


def project_files() -> list[Path]:
    """Every file that is, or is about to be, part of the project."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return [Path(name) for name in names if name and Path(name).is_file()]


def line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def text_findings(path: Path, text: str) -> Iterator[str]:
    """What must not be written in a file, as `FILE:LINE: what`."""
    for what, pattern in FORBIDDEN_TEXT.items():
        for match in pattern.finditer(text):
            yield f"{path}:{line_of(text, match.start())}: {what}: {match.group()}"
    if path.parent.name == "requirements":
        for match in LOCK_ADDRESS.finditer(text):
            yield f"{path}:{line_of(text, match.start())}: an address in a lock file: renew it by `make lock`"


def tree_findings(paths: set[str]) -> Iterator[str]:
    """What is missing from the tree, and what must not be in it."""
    yield from (f"{name}: missing" for name in REQUIRED if name not in paths)
    yield from (f"{name}: must not exist" for name in FORBIDDEN_FILES if name in paths)


def read_text(path: Path) -> str:
    """The file's text; empty for one that is not text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def main() -> int:
    files = project_files()
    found = [*tree_findings({str(path) for path in files})]
    found += [finding for path in files for finding in text_findings(path, read_text(path))]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
