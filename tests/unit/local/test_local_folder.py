"""The state folder: one owner, whole files, clear refusals."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from resilientslice.local.errors import LocalError
from resilientslice.local.processes import folder as folder_module
from resilientslice.local.processes.folder import StateFolder, write_atomically


def test_a_second_runtime_is_told_who_has_it(tmp_path: Path) -> None:
    first = StateFolder(tmp_path / "s")
    with pytest.raises(LocalError, match=rf"another runtime uses it \(PID {os.getpid()}\).*--state"):
        StateFolder(tmp_path / "s")
    first.close()
    StateFolder(tmp_path / "s").close()


def test_credentials_are_for_the_owner_alone(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "s")
    write_atomically(folder.credentials / "x", "secret")
    assert (folder.credentials / "x").stat().st_mode & 0o777 == 0o600
    assert folder.credentials.stat().st_mode & 0o777 == 0o700
    assert (folder.path / ".gitignore").read_text() == "*\n"
    folder.close()


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(LocalError, match=r"something on its path is a file; choose another folder with --state"):
        StateFolder(tmp_path / "f" / "s")


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(LocalError, match="holds files that are not a slice's state"):
        StateFolder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_full_disk_is_said_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=5 * 1024**2)
    monkeypatch.setattr(folder_module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(LocalError, match="only 5 MiB free"):
        StateFolder(tmp_path / "s")
    monkeypatch.undo()
    StateFolder(tmp_path / "s").close()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "not writable"),
        (errno.EROFS, "not writable"),
        (errno.ENOSPC, "no space left on its disk"),
        (errno.ELOOP, "Too many levels of symbolic links"),
    ],
)
def test_reasons_are_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(LocalError, match=words):
        StateFolder(tmp_path / "s")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    write_atomically(path, "old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_json_round_trip_and_damage(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "s")
    assert folder.read_json("x.json") is None
    folder.write_json("x.json", {"a": [1]})
    assert folder.read_json("x.json") == {"a": [1]}
    (folder.path / "x.json").write_text("{")
    with pytest.raises(LocalError, match=r"x\.json: not JSON"):
        folder.read_json("x.json")
    folder.close()


def test_sockets_of_a_deep_folder_go_elsewhere_and_everything_temporary_goes(tmp_path: Path) -> None:
    deep = StateFolder(tmp_path / ("d" * 120))
    sockets = deep.socket_folder()
    assert len(str(sockets)) < 60
    assert sockets.is_dir()
    (deep.path / "run" / "old.sock").write_text("")
    (deep.path / "tmp").mkdir()
    kept = tmp_path / "kept"
    kept.mkdir()
    deep.note_temporary(kept)
    deep.remove_temporaries()
    assert not sockets.exists()
    assert not (deep.path / "run" / "old.sock").exists()
    assert not (deep.path / "tmp").exists()
    assert kept.exists(), "only folders of our own making are removed"
    deep.close()


def test_sockets_of_an_ordinary_folder_are_inside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(folder_module, "MAX_SOCKET_PATH", 1000)
    folder = StateFolder(tmp_path / "s")
    assert folder.socket_folder() == folder.path / "run"
    folder.close()
