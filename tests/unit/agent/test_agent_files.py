"""What the agent keeps on disk, and the sockets it takes."""

import json
import socket
import stat

import pytest

from resilientslice.agent import sockets, store
from resilientslice.agent.parse import ConfigParser
from resilientslice.agent.resources import Epoch, canonical_json
from resilientslice.agent.sockets import SocketTakenError, claim, listen, release

CONFIG = {"clusters": [{"name": "a"}]}
STORED = store.Stored(Epoch(1, 2), Epoch(1, 3), "digest", canonical_json(CONFIG))


def test_what_is_saved_is_loaded(tmp_path):
    assert store.load(tmp_path, ConfigParser()) == store.Loaded()
    store.save(tmp_path, STORED)
    loaded = store.load(tmp_path, ConfigParser())
    assert loaded.stored == STORED
    assert (loaded.config.epoch, set(loaded.config.clusters)) == (Epoch(1, 2), {"a"})
    assert [path.name for path in tmp_path.iterdir()] == [store.FILE_NAME]


def test_a_pushed_body_serves_as_fallback(tmp_path):
    path = tmp_path / "copy.json"
    path.write_text(json.dumps({"epoch": [4, 5], "config": CONFIG}))
    loaded = store.load_fallback(path, ConfigParser())
    assert (loaded.stored.epoch, loaded.stored.floor) == (Epoch(4, 5), Epoch(4, 5))
    path.write_text("nonsense")
    assert "is not JSON" in store.load_fallback(path, ConfigParser()).problem
    assert path.read_text() == "nonsense", "it is someone else's: left as it is"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ("[]", "must be an object"),
        ('{"epoch": [1], "config": {}}', '"epoch" must be'),
        ('{"epoch": [1, 1], "config": {"clusters": [{}]}}', "has no name"),
    ],
)
def test_a_corrupt_file_is_set_aside(tmp_path, text, words):
    (tmp_path / store.FILE_NAME).write_text(text)
    loaded = store.load(tmp_path, ConfigParser())
    assert words in loaded.problem
    assert (loaded.stored, loaded.config) == (None, None)
    assert (tmp_path / f"{store.FILE_NAME}.corrupt").read_text() == text
    assert store.load(tmp_path, ConfigParser()) == store.Loaded()


def test_a_save_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    store.save(tmp_path, STORED)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.save(tmp_path, store.Stored(Epoch(9, 9), Epoch(9, 9), "", "{}"))
    assert [path.name for path in tmp_path.iterdir()] == [store.FILE_NAME]
    assert store.load(tmp_path, ConfigParser()).stored == STORED


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Relative paths, as the local runtime uses: a socket's path is short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_dead_socket_is_replaced_a_live_one_is_not(folder):
    path = sockets.Path("api.sock")
    claim(path)
    first = listen(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(SocketTakenError, match="another process listens on it; stop it first"):
        claim(path)
    first.close()
    assert path.exists()
    claim(path)
    assert not path.exists()
    release(path)


def test_a_socket_whose_queue_is_full_is_alive(folder):
    path = sockets.Path("busy.sock")
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as caller:
        busy.bind(str(path))
        busy.listen(0)
        caller.connect(str(path))
        with pytest.raises(SocketTakenError, match="another process"):
            claim(path)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("x" * 108, "108 bytes, a socket's path has at most 107; use a relative path"),
        ("nowhere/api.sock", "the folder nowhere does not exist"),
        ("file", "exists and is not a socket"),
    ],
)
def test_a_path_that_cannot_be_a_socket(folder, path, words):
    (folder / "file").write_text("")
    with pytest.raises(SocketTakenError) as error:
        claim(sockets.Path(path))
    assert words in str(error.value)


def test_a_private_socket_does_not_change_what_others_make(folder):
    with sockets.private():
        (folder / "secret").write_text("")
    (folder / "public").write_text("")
    assert stat.S_IMODE((folder / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "public").stat().st_mode) != 0o600
