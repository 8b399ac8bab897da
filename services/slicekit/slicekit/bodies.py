"""Reading a JSON body of a stranger: content type, size, syntax and rules, each refused with its own status."""

import asyncio
from typing import TypeVar

from aiohttp import ClientError, http_exceptions, web
from aiohttp.web_protocol import PayloadAccessError, RequestPayloadError
from pydantic import BaseModel, ValidationError

from slicekit.problems import Problem

Model = TypeVar("Model", bound=BaseModel)

_MOST_ERRORS = 20
_READ_SECONDS = 10.0
_BROKEN_BODY = (
    ClientError,
    ConnectionError,
    PayloadAccessError,
    RequestPayloadError,
    http_exceptions.HttpProcessingError,
)


async def read_json(request: web.Request, model: type[Model], *, limit: int) -> Model:
    """The body as `model`, at most `limit` bytes. Problem 400, 408, 413, 415 or 422 otherwise."""
    kind = request.content_type
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise Problem(415, "send the body as Content-Type: application/json")
    raw = await _read_body(request, limit)
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as exc:
        raise _explain(exc) from exc


async def _read_body(request: web.Request, limit: int) -> bytes:
    too_large = Problem(413, f"the body is larger than {limit} bytes", headers={"Connection": "close"})
    if (request.content_length or 0) > limit:
        raise too_large
    raw = bytearray()
    try:
        async with asyncio.timeout(_READ_SECONDS):
            async for chunk in request.content.iter_any():
                raw += chunk
                if len(raw) > limit:
                    raise too_large
    except TimeoutError as exc:
        raise Problem(408, f"the body did not arrive within {_READ_SECONDS:g} s") from exc
    except _BROKEN_BODY as exc:
        raise Problem(400, "the body ended early or is not encoded as its headers say") from exc
    return bytes(raw)


def _explain(exc: ValidationError) -> Problem:
    found = exc.errors(include_url=False, include_context=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return Problem(400, f"the body is not JSON: {found[0]['msg']}")
    errors = [{"field": _path(error["loc"]), "message": error["msg"]} for error in found[:_MOST_ERRORS]]
    first = errors[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Problem(422, f"{first['field'] or 'the body'}: {first['message']}{more}", errors=errors)


def _path(location: tuple[int | str, ...]) -> str:
    """`items[0].quantity`"""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part[:64]}" if path else part[:64]
    return path
