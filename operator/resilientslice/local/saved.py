"""What the next runtime on the same state folder starts from: the slice's memory, and the resource in force last."""

from resilientslice.api.slice import ResilientSlice
from resilientslice.local.errors import LocalError
from resilientslice.local.processes.folder import StateFolder
from resilientslice.planning.memory import Memory, UnreadableMemoryError, memory_from_json, memory_to_json

MEMORY_FILE = "memory.json"
SLICE_FILE = "slice.json"


class Saved:
    """Writes what has changed since it was written last. LocalError when the memory in the folder can't be read."""

    def __init__(self, folder: StateFolder) -> None:
        self.memory = _read_memory(folder)
        self._folder = folder
        self._slice: ResilientSlice | None = None

    def save(self, slice_: ResilientSlice, memory: Memory | None) -> None:
        """Raises OSError; what could not be written is tried again by the next call."""
        if slice_ is not self._slice:
            data = slice_.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            self._folder.write_json(SLICE_FILE, data)
            self._slice = slice_
        if memory is not None and memory != self.memory:
            self._folder.write_json(MEMORY_FILE, memory_to_json(memory))
            self.memory = memory


def slice_before(folder: StateFolder) -> ResilientSlice | None:
    """The resource that an earlier runtime on the folder ran last; None for a new folder."""
    return folder.read_as(SLICE_FILE, lambda data: ResilientSlice.model_validate(data, strict=False))


def _read_memory(folder: StateFolder) -> Memory | None:
    try:
        return folder.read_as(MEMORY_FILE, memory_from_json)
    except UnreadableMemoryError as error:
        advice = "remove the file to adopt the slice as it stands"
        raise LocalError(f"{folder.path / MEMORY_FILE}: {error}; {advice}") from error
