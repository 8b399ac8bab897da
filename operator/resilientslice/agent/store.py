"""The configuration that Envoy accepted last, on disk: an agent that starts again serves it without the operator."""

import contextlib
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resilientslice.agent.messages import UnreadableError
from resilientslice.agent.parse import ConfigParser, MalformedError, parse_epoch
from resilientslice.agent.resources import Config, Epoch
from resilientslice.agent.settings import BODY_LIMIT

FILE_NAME = "accepted.json"
_SET_ASIDE = ".corrupt"


@dataclass(frozen=True, slots=True)
class Stored:
    """An accepted configuration as canonical JSON, its epoch; and the newest epoch seen, maybe a refused one's."""

    epoch: Epoch
    floor: Epoch
    floor_digest: str
    config: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a file held. `problem` says why there is nothing, empty if there simply is no file."""

    stored: Stored | None = None
    config: Config | None = None
    problem: str = ""


def save(folder: Path, stored: Stored) -> None:
    """Replace the file, so that either the old or the new one is found whole after a crash. OSError if it can't.

    The folder is not synced: after a power cut that may bring back the old file, which is as good, because the agent
    is then pushed the newer one; and it would double the time that a push takes (12 ms measured on a slow disk).
    """
    path, temporary = folder / FILE_NAME, folder / f"{FILE_NAME}.new"
    known = {"epoch": stored.epoch, "floor": stored.floor, "floorDigest": stored.floor_digest}
    text = f'{json.dumps(known, separators=(",", ":"))[:-1]},"config":{stored.config}}}'
    try:
        with temporary.open("w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def load(folder: Path, parser: ConfigParser) -> Loaded:
    """Read the file. One that can't be read is set aside, so that the next save doesn't destroy the evidence."""
    path = folder / FILE_NAME
    loaded = _read(path, parser)
    if not loaded.problem:
        return loaded
    aside = path.with_suffix(path.suffix + _SET_ASIDE)
    try:
        path.replace(aside)
    except OSError as error:
        return Loaded(problem=f"{loaded.problem}; it could not be set aside: {error.strerror}")
    return Loaded(problem=f"{loaded.problem}; set aside as {aside}")


def load_fallback(path: Path, parser: ConfigParser) -> Loaded:
    """Read a mounted copy: `{"epoch": …, "config": …}`, as it was pushed, or compressed. It is left as it is."""
    packed = compressed(path)
    return _read(packed if packed.exists() and not path.exists() else path, parser)


def compressed(path: Path) -> Path:
    """Where a configuration is that is too large to be stored as it reads: `config.json.gz`."""
    return path.with_name(f"{path.name}.gz")


def _unpacked(data: bytes) -> bytes:
    """ValueError for what is no gzip, is cut off, or holds more than a push may have."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        unpacked = unpacker.decompress(data, BODY_LIMIT)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if unpacker.unconsumed_tail:
        raise ValueError(f"more than {BODY_LIMIT} bytes when unpacked")
    if not unpacker.eof:
        raise ValueError("is cut off")
    return unpacked


def _read(path: Path, parser: ConfigParser) -> Loaded:
    try:
        raw = path.read_bytes()
        data = json.loads(_unpacked(raw) if path.suffix == ".gz" else raw)
    except (FileNotFoundError, NotADirectoryError):
        return Loaded()
    except OSError as error:
        return Loaded(problem=f"{path}: can't be read: {error.strerror}")
    except (ValueError, RecursionError) as error:
        return Loaded(problem=f"{path}: is not JSON: {error}")
    try:
        return _loaded(data, parser)
    except (MalformedError, UnreadableError) as error:
        return Loaded(problem=f"{path}: {error}")


def _loaded(data: Any, parser: ConfigParser) -> Loaded:
    if not isinstance(data, dict) or not isinstance(data.get("config"), dict):
        raise MalformedError('must be an object with "epoch" and "config"')
    epoch = parse_epoch(data.get("epoch"))
    floor = parse_epoch(data["floor"]) if "floor" in data else epoch
    config = parser.parse(epoch, data["config"])
    return Loaded(Stored(epoch, max(epoch, floor), str(data.get("floorDigest", "")), config.text), config)
