"""Reads a resource from a file or from standard input, and says everything that is wrong with it, with its line.

An edge: this is where input that nobody has looked at comes in. YAML is read as kubectl reads it, so that a file means
the same here and in a cluster; api/validation.py judges what was read.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from resilientslice.api.advice import advice
from resilientslice.api.problems import InvalidSliceError, Problem, missing
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.validation import check_change, parse_slice
from resilientslice.yaml_tree import Document, YamlError, read_documents

STDIN = "-"
MAX_BYTES = 1024 * 1024
"""A resource of 64 services has some 100 KiB, and etcd takes no object above 1.5 MiB."""


_TEMPLATE, _RENDER = "is a template", "render it first, such as by `helm template`"


@dataclass(frozen=True, slots=True)
class Located:
    """A problem and the line of the file that it is about, from 1; 0 where there is none."""

    problem: Problem
    line: int

    def text(self, name: str) -> str:
        """One line for people, of a file of that name."""
        place = f"{name}:{self.line}" if self.line else name
        return f"{place}: {self.problem if self.problem.path else _without_path(self.problem)}"


class SliceFileError(ValueError):
    """A file that holds no valid resource; `str()` has one line a problem: `FILE:LINE: PATH: VALUE: RULE; FIX`."""

    def __init__(self, name: str, problems: Iterable[Located]) -> None:
        self.name = name
        self.located = tuple(problems)
        super().__init__("\n".join(located.text(name) for located in self.located))

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(located.problem for located in self.located)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid resource. `warnings`: what is taken and rarely meant."""

    slice_: ResilientSlice
    warnings: tuple[Located, ...]


def load_slice(path: Path | str, *, old: ResilientSlice | None = None) -> ResilientSlice:
    """As `load_with_warnings`, without these."""
    return load_with_warnings(path, old=old).slice_


def load_with_warnings(path: Path | str, *, old: ResilientSlice | None = None) -> Loaded:
    """The resource in a file, or on standard input for `-`. With `old`, changes that can't be made are refused too.

    Raises SliceFileError with all problems.
    """
    name = display_name(path)
    document = _only(name, _parse(name, _read(name, path)))
    try:
        slice_ = parse_slice(document.data)
        if old is not None:
            check_change(old, slice_)
    except InvalidSliceError as error:
        located = (Located(problem, document.line(problem.path)) for problem in error.problems)
        raise SliceFileError(name, sorted(located, key=lambda each: each.line)) from None
    return Loaded(slice_, tuple(Located(found, document.line(found.path)) for found in advice(slice_.spec)))


def display_name(path: Path | str) -> str:
    return "standard input" if str(path) == STDIN else str(path)


def _read(name: str, path: Path | str) -> str:
    """The text of a file. Reads no more than the largest that is allowed, whatever is behind the name."""
    try:
        raw = _head(sys.stdin.buffer) if str(path) == STDIN else _head_of_file(Path(path))
    except FileNotFoundError:
        raise _unreadable(name, "no such file", "check its path") from None
    except IsADirectoryError:
        raise _unreadable(name, "is a directory, not a file", "name a file in it") from None
    except OSError as error:
        raise _unreadable(name, f"can't be read: {error.strerror}", "check its permissions") from None
    if len(raw) > MAX_BYTES:
        fix = "a resource has some kilobytes: is this the right file?"
        raise _unreadable(name, f"is larger than {MAX_BYTES // 1024} KiB", fix)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise _unreadable(name, f"is not UTF-8: byte 0x{raw[error.start]:02x}", "save it as UTF-8", line) from None


def _head_of_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return _head(file)


def _head(file: BinaryIO) -> bytes:
    return file.read(MAX_BYTES + 1)


def _parse(name: str, text: str) -> list[Document]:
    try:
        return read_documents(text)
    except YamlError as error:
        template = _template_line(text)
        found = [(_TEMPLATE, _RENDER, template)] if template else error.findings
        raise SliceFileError(name, (Located(missing((), rule, fix), line) for rule, fix, line in found)) from None


def _template_line(text: str) -> int:
    """The first line with an expression of a Helm chart, 0 without one."""
    return next((number for number, line in enumerate(text.splitlines(), 1) if "{{" in line), 0)


def _only(name: str, documents: list[Document]) -> Document:
    """Other kinds in the same file are someone else's."""
    if not documents:
        raise _unreadable(name, "is empty", "put a ResilientSlice into it")
    if len(documents) > 1:
        slices = [one for one in documents if _is_slice(one)]
        if len(slices) == 1:
            return slices[0]
        rule = f"holds {len(slices)} slices, not one" if slices else f"holds {len(documents)} documents, and no slice"
        documents = slices or documents
        raise _unreadable(name, rule, "one file a slice: split it at the ---", documents[1].line(()))
    return documents[0]


def _is_slice(document: Document) -> bool:
    return isinstance(document.data, dict) and document.data.get("kind") == "ResilientSlice"


def _unreadable(name: str, rule: str, fix: str, line: int = 0) -> SliceFileError:
    return SliceFileError(name, [Located(missing((), rule, fix), line)])


def _without_path(problem: Problem) -> str:
    return f"{problem.rule}; {problem.fix}" if problem.fix else problem.rule


def problem_json(located: Located) -> dict[str, Any]:
    """One problem as machines read it."""
    found = located.problem
    return {"path": found.where, "line": located.line, "value": found.value, "rule": found.rule, "fix": found.fix}
