"""The slices as the API server last told us, as compact JSON: a thousand of them as objects would be some 30 MB."""

import json
from collections.abc import Callable, Iterable, Iterator

from resilientslice.kube.cache import newer
from resilientslice.kube.kinds import Kind, Object, SliceKey


class Slices:
    """`on_change` is told of each that changed or went; it must not block."""

    def __init__(self, *, on_change: Callable[[SliceKey], None], namespaces: Iterable[str | None] = (None,)) -> None:
        self._on_change = on_change
        self._known: dict[SliceKey, tuple[str, str, bytes]] = {}
        self._missing = set(namespaces)

    def get(self, key: SliceKey) -> Object | None:
        """A copy of its own, without managed fields; None when it doesn't exist."""
        found = self._known.get(key)
        if found is None:
            return None
        obj: Object = json.loads(found[2])
        return obj

    def keys(self) -> Iterator[SliceKey]:
        return iter(tuple(self._known))

    def __len__(self) -> int:
        return len(self._known)

    def synced(self) -> bool:
        """All slices were listed at least once."""
        return not self._missing

    def saw(self, obj: Object) -> None:
        """A slice as it is now: from a list, a watch, or the answer to a write. Older news than known is left out."""
        key, metadata = _key(obj), obj["metadata"]
        uid, version = metadata["uid"], metadata["resourceVersion"]
        known = self._known.get(key)
        if known is not None and known[0] == uid and not newer(version, known[1]):
            return
        kept = {**obj, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}
        self._known[key] = (uid, version, json.dumps(kept, separators=(",", ":")).encode())
        self._on_change(key)

    def gone(self, obj: Object) -> None:
        """A slice that was deleted. Another one of its name stays."""
        key = _key(obj)
        known = self._known.get(key)
        if known is not None and known[0] == obj["metadata"]["uid"]:
            del self._known[key]
            self._on_change(key)

    def listed(self, kind: Kind, namespace: str | None, uids: set[str], resource_version: str) -> None:  # noqa: ARG002
        """A whole list has been told to `saw`. What is not in it is gone, unless it is newer than the list."""
        for key, (uid, version, _) in list(self._known.items()):
            elsewhere = namespace is not None and key.namespace != namespace
            if not elsewhere and uid not in uids and not newer(version, resource_version):
                del self._known[key]
                self._on_change(key)
        self._missing.discard(namespace)


def _key(obj: Object) -> SliceKey:
    return SliceKey(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
