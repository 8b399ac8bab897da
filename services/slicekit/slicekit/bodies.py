"""Reading a JSON body of a stranger: content type, size, syntax and rules, each refused with its own status."""

import asyncio
import json
from typing import Any, TypeVar

from aiohttp import ClientError, http_exceptions, web
from aiohttp.web_protocol import PayloadAccessError, RequestPayloadError
from pydantic import BaseModel, ValidationError

from slicekit.problems import Problem

Model = TypeVar("Model", bound=BaseModel)

_MOST_ERRORS = 20
_BROKEN_BODY = (
    ClientError,
    ConnectionError,
    PayloadAccessError,
    RequestPayloadError,
    http_exceptions.HttpProcessingError,
)


async def read_json(request: web.Request, model: type[Model], *, limit: int, seconds: float) -> Model:
    """The body as `model`, at most `limit` bytes within `seconds`. Problem 400, 408, 413, 415 or 422 otherwise."""
    _check_type(request)
    raw = await _read_body(request, limit, seconds)
    _check_syntax(raw)
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as exc:
        raise _explain(exc) from exc


def _check_type(request: web.Request) -> None:
    kind = request.content_type
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise Problem(415, "send the body as Content-Type: application/json")
    if (request.charset or "utf-8").lower() not in {"utf-8", "utf8"}:
        raise Problem(415, "JSON is UTF-8; leave the charset out of Content-Type")
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise Problem(415, "send the body without Content-Encoding", headers={"Accept-Encoding": "identity"})


async def _read_body(request: web.Request, limit: int, seconds: float) -> bytes:
    too_large = Problem(413, f"the body is larger than {limit} bytes", headers={"Connection": "close"})
    if (request.content_length or 0) > limit:
        raise too_large
    raw = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.content.iter_any():
                raw += chunk
                if len(raw) > limit:
                    raise too_large
    except TimeoutError as exc:
        raise Problem(408, f"the body did not arrive within {seconds:g} s", headers={"Connection": "close"}) from exc
    except _BROKEN_BODY as exc:
        raise Problem(400, "the body ended early or is not encoded as its headers say") from exc
    return bytes(raw)


def _check_syntax(raw: bytes) -> None:
    """Refuses what readers of JSON disagree about: a key given twice, NaN, an encoding that isn't UTF-8, deep nesting.

    Numbers are not made here, so that a long one costs nothing; the model's own reading is bounded for them.
    """
    try:
        json.loads(
            raw.decode(),
            object_pairs_hook=_check_keys,
            parse_constant=_refuse_constant,
            parse_int=_skip_number,
            parse_float=_skip_number,
        )
    except UnicodeDecodeError as exc:
        raise Problem(400, f"the body is not JSON: byte {exc.start} is not UTF-8") from exc
    except RecursionError as exc:
        raise Problem(400, "the body is nested too deeply") from exc
    except json.JSONDecodeError as exc:
        raise Problem(400, f"the body is not JSON: {exc.msg} at line {exc.lineno} column {exc.colno}") from exc


def _check_keys(pairs: list[tuple[str, Any]]) -> None:
    seen = set()
    for key, _ in pairs:
        if key in seen:
            raise Problem(400, f"the body names the key {key[:64]!r} twice")
        seen.add(key)


def _refuse_constant(text: str) -> None:
    raise Problem(400, f"the body is not JSON: {text} is not a number of it")


def _skip_number(_: str) -> None:
    """Its value doesn't matter here."""


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
