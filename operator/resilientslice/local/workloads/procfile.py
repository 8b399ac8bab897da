"""The procfile: which command stands for a service's container image on this machine.

NAME: COMMAND        for any image of the service
NAME@TAG: COMMAND    for one tag of it, before the other
"""

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resilientslice.local.errors import LocalError

_LINE = re.compile(r"^(?P<name>[a-z][-a-z0-9]*)(@(?P<tag>[A-Za-z0-9_][-A-Za-z0-9_.]*))?\s*:\s*(?P<command>.*)$")


@dataclass(frozen=True, slots=True)
class Procfile:
    """`commands` by service and tag; the tag is empty for any image. `path` is where it was read, None when absent."""

    path: Path | None = None
    commands: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def command(self, service: str, image: str) -> tuple[str, ...] | None:
        return self.commands.get((service, image_tag(image))) or self.commands.get((service, ""))

    @property
    def services(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.commands)


def read_procfile(path: Path, *, required: bool) -> Procfile:
    """LocalError when it can't be read or a line is wrong. Absent and not `required`: an empty one."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if required:
            raise LocalError(f"procfile {path}: no such file") from None
        return Procfile()
    except UnicodeDecodeError as error:
        raise LocalError(f"procfile {path}: not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise LocalError(f"procfile {path}: {error.strerror}") from error
    return Procfile(path, parse_procfile(text, str(path)))


def parse_procfile(text: str, where: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """All problems at once: LocalError with one line for each."""
    commands: dict[tuple[str, str], tuple[str, ...]] = {}
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.match(stripped)
        if match is None:
            problems.append(f"{where}:{number}: expected `NAME: COMMAND` or `NAME@TAG: COMMAND`, found `{stripped}`")
            continue
        key = (match["name"], match["tag"] or "")
        argv, problem = _split(match["command"])
        if not problem and key in commands:
            problem = f"a second command for `{'@'.join(filter(None, key))}`; remove one of them"
        if problem:
            problems.append(f"{where}:{number}: {problem}")
        else:
            commands[key] = argv
    if problems:
        raise LocalError("\n".join(problems))
    return commands


def _split(command: str) -> tuple[tuple[str, ...], str]:
    try:
        argv = tuple(shlex.split(command))
    except ValueError as error:
        return (), f"can't split the command into words: {error}"
    return argv, "" if argv else "the command is empty"


def image_tag(image: str) -> str:
    """`example.org:5000/shop/api:1.4.0@sha256:…` → `1.4.0`; empty when the image has no tag."""
    last = image.split("@", 1)[0].rsplit("/", 1)[-1]
    return last.partition(":")[2]


def command_for(procfile: Procfile, service: str, container: Mapping[str, object]) -> tuple[str, ...] | None:
    """The words to start: the procfile's, else the container's own `command` and `args`; None when there is neither.

    `python` means the interpreter that runs this, so that a service finds what is installed beside it.
    """
    argv = procfile.command(service, str(container.get("image", "")))
    if argv is None:
        own = _words(container.get("command"))
        argv = (*own, *_words(container.get("args"))) if own else None
    return runnable(argv) if argv else None


def runnable(argv: Sequence[str]) -> tuple[str, ...]:
    """The same words, with `python` meaning the interpreter that runs this."""
    return (sys.executable, *argv[1:]) if argv[0] == "python" else tuple(argv)


def _words(value: object) -> tuple[str, ...]:
    return tuple(str(word) for word in value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
