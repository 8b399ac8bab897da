"""The procfile: which command stands for an image."""

import sys
from pathlib import Path

import pytest

from resilientslice.local.errors import LocalError
from resilientslice.local.workloads.procfile import Procfile, command_for, image_tag, parse_procfile, read_procfile


def test_reads_names_tags_and_words_as_a_shell_would_split_them() -> None:
    text = """
    # comment
    api: python -m shop_api --title "two words"
    api@2.0.0: ./api2   'a b'
    worker :sleep 1
    """
    assert parse_procfile(text, "p") == {
        ("api", ""): ("python", "-m", "shop_api", "--title", "two words"),
        ("api", "2.0.0"): ("./api2", "a b"),
        ("worker", ""): ("sleep", "1"),
    }


def test_reports_every_wrong_line_with_its_number() -> None:
    with pytest.raises(LocalError) as error:
        parse_procfile("api: a\nnonsense\napi: b\nx:\ny: 'open\n", "shop.procfile")
    assert str(error.value).splitlines() == [
        "shop.procfile:2: expected `NAME: COMMAND` or `NAME@TAG: COMMAND`, found `nonsense`",
        "shop.procfile:3: a second command for `api`; remove one of them",
        "shop.procfile:4: the command is empty",
        "shop.procfile:5: can't split the command into words: No closing quotation",
    ]


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("example.org/shop/api:1.4.0", "1.4.0"),
        ("example.org:5000/shop/api", ""),
        ("example.org:5000/shop/api:x", "x"),
        ("api:1@sha256:abc", "1"),
        ("api@sha256:abc", ""),
    ],
)
def test_tag_of_an_image(image: str, tag: str) -> None:
    assert image_tag(image) == tag


COMMANDS = Procfile(None, {("api", ""): ("python", "-m", "any"), ("api", "2"): ("two", "python")})


@pytest.mark.parametrize(
    ("service", "container", "expected"),
    [
        ("api", {"image": "api:1"}, (sys.executable, "-m", "any")),
        ("api", {"image": "api:2", "command": ["own"]}, ("two", "python")),
        ("other", {"image": "o:1", "command": ["own"], "args": ["-v"]}, ("own", "-v")),
        ("other", {"image": "o:1", "args": ["-v"]}, None),
        ("other", {"image": "o:1"}, None),
    ],
)
def test_command_of_a_container(service: str, container: dict[str, object], expected: tuple[str, ...] | None) -> None:
    assert command_for(COMMANDS, service, container) == expected


def test_absent_procfile_is_fine_unless_it_was_asked_for(tmp_path: Path) -> None:
    assert read_procfile(tmp_path / "no.procfile", required=False) == Procfile()
    with pytest.raises(LocalError, match="no such file"):
        read_procfile(tmp_path / "no.procfile", required=True)


def test_procfile_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "x.procfile"
    path.write_bytes(b"api: \xff")
    with pytest.raises(LocalError, match=r"not UTF-8 \(byte 5\)"):
        read_procfile(path, required=False)
