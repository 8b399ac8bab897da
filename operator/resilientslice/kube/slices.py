"""The slices as the API server last told us, as compact JSON: a thousand of them as objects would be some 30 MB."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from resilientslice.kube.cache import newer
from resilientslice.kube.kinds import Kind, Object, SliceKey


@dataclass(frozen=True, slots=True)
class _Known:
    uid: str
    version: str
    wanted: str
    data: bytes


class Slices:
    """`on_change` is called for each that changed or went; it must not block."""

    def __init__(self, *, on_change: Callable[[SliceKey], None], namespaces: Iterable[str | None] = (None,)) -> None:
        self._on_change = on_change
        self._known: dict[SliceKey, _Known] = {}
        self._missing = set(namespaces)

    def get(self, key: SliceKey) -> Object | None:
        """A copy of its own, without managed fields; None when it doesn't exist."""
        found = self._known.get(key)
        if found is None:
            return None
        obj: Object = json.loads(found.data)
        return obj

    def keys(self) -> Iterator[SliceKey]:
        return iter(tuple(self._known))

    def __len__(self) -> int:
        return len(self._known)

    def synced(self) -> bool:
        """All slices were listed at least once."""
        return not self._missing

    def saw(self, obj: Object) -> bool:
        """A slice as it is now, from the answer to a write of our own; older news than known is left out.

        Returns whether anything of it changed but its status.
        """
        key, metadata = _key(obj), obj["metadata"]
        known = self._known.get(key)
        if known is not None and known.uid == metadata["uid"] and not newer(metadata["resourceVersion"], known.version):
            return False
        kept = {**obj, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}
        data = json.dumps(kept, separators=(",", ":")).encode()
        self._known[key] = _Known(metadata["uid"], metadata["resourceVersion"], _wanted(metadata), data)
        return known is None or known.wanted != _wanted(metadata)

    def told(self, obj: Object) -> None:
        """The same from a list or a watch. A status that changed is no news: nobody but us writes it."""
        if self.saw(obj):
            self._on_change(_key(obj))

    def gone(self, obj: Object) -> None:
        """A slice that was deleted. Another one of its name stays."""
        key = _key(obj)
        known = self._known.get(key)
        if known is not None and known.uid == obj["metadata"]["uid"]:
            del self._known[key]
            self._on_change(key)

    def listed(self, kind: Kind, namespace: str | None, uids: set[str], resource_version: str) -> None:  # noqa: ARG002
        """A whole list has been told. What is not in it is gone, unless it is newer than the list."""
        for key, known in list(self._known.items()):
            elsewhere = namespace is not None and key.namespace != namespace
            if not elsewhere and known.uid not in uids and not newer(known.version, resource_version):
                del self._known[key]
                self._on_change(key)
        self._missing.discard(namespace)


def _key(obj: Object) -> SliceKey:
    return SliceKey(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


def _wanted(metadata: Mapping[str, Any]) -> str:
    """Differs when anything but the status has changed."""
    names = ("uid", "generation", "deletionTimestamp", "labels", "annotations")
    return json.dumps([metadata.get(name) for name in names], sort_keys=True)
