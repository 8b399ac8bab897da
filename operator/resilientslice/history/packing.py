"""JSON that may be too large for its object, packed where it is, so that it fits.

What is small is stored as it reads: people look at it, and an older operator understands it. A revision holds each long
text three times (content, spec, template). The compressor's window spans them all, so each costs what one does.
"""

import base64
import json
import lzma
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

LARGEST_TEXT = 128 * 1024
"""Bytes of JSON that are stored as they read."""
LARGEST_UNPACKED = 16 * 1024 * 1024
"""Bytes that are believed of a stored object: ten times what the largest slice needs."""
FORMAT = 2
_WINDOW = 2 * 1024 * 1024
"""Twice the largest spec: in the JSON of a revision no two copies of a text are further apart. The encoder takes some
eight times as much memory as its window, while it runs."""
_DECODER_MEMORY = 64 * 1024 * 1024


class NewerFormatError(ValueError):
    """Written by a newer operator."""


class DamagedTextError(ValueError):
    """Not what was written."""


def packed(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """`data` itself, or `{"format": 2, "xz": …}` where that is large."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    return data if len(text) <= LARGEST_TEXT else {"format": FORMAT, "xz": compressed(text)}


def unpacked(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was given to `packed`. Raises NewerFormatError and DamagedTextError."""
    if "format" not in data:
        return data
    if data["format"] != FORMAT:
        raise NewerFormatError(f"has format {data['format']!r}, this operator reads {FORMAT}")
    found: Any = json.loads(decompressed(data.get("xz")))
    if not isinstance(found, dict):
        raise DamagedTextError("holds no mapping")
    return found


@lru_cache(maxsize=4)
def compressed(text: bytes) -> str:
    """Base64 of the xz of `text`: the same for the same text."""
    window = min(_WINDOW, max(4096, 1 << (len(text) - 1).bit_length()))
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": window}]
    return base64.b64encode(lzma.compress(text, format=lzma.FORMAT_XZ, filters=filters)).decode()


def decompressed(text: Any) -> bytes:
    """Raises DamagedTextError. Takes bounded memory, whatever it is given."""
    try:
        decoder = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_DECODER_MEMORY)
        found = decoder.decompress(base64.b64decode(text, validate=True), LARGEST_UNPACKED)
    except (TypeError, ValueError, lzma.LZMAError) as error:
        raise DamagedTextError(f"is damaged: {error}") from error
    if not decoder.eof:
        raise DamagedTextError(f"is cut off, or more than {LARGEST_UNPACKED} bytes")
    return found
