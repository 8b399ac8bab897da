"""The OpenAPI 3.1 document of a contract. `python -m slicekit.openapi MODULE` writes that of `MODULE.CONTRACT`."""

import json
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from slicekit.contracts import DOCUMENT, PROBES, Answer, Contract, Operation, Parameter, ProblemDocument
from slicekit.problems import CONTENT_TYPE, title_of

_SCHEMAS = "#/components/schemas/{model}"
_RETRY = {"Retry-After": {"description": "Seconds to wait before the next try.", "schema": {"type": "integer"}}}
_SERVED_BY = {
    "X-Served-By": {
        "description": "Who served the request: `api@stable, catalog@canary`.",
        "schema": {"type": "string"},
    }
}
# Beyond ASCII a tenant is UTF-8, which a schema of a header can't say.
_TENANT = Parameter(
    "header",
    "X-Tenant",
    str,
    "Who asks; absent or empty is `anonymous`. Printable, at most 128 characters.",
    "",
    required=False,
)
_TENANT_SCHEMA = {"type": "string", "pattern": "^[ -~]{0,128}$"}
_ALWAYS = {
    400: "Not a valid request: the parser, the tenant header, or a parameter.",
    408: "The request did not arrive in time.",
    414: "The path and query are too long.",
    417: "Expect can only be 100-continue.",
    431: "The headers are too large.",
}
_SHARED = {
    429: "The tenant's limit is exceeded, or a service behind this one is overloaded.",
    503: "A store or a service behind this one is not available; safe to try again with the same Idempotency-Key.",
}
_OF_BODY = {
    413: "The body is too large.",
    415: "The body is not application/json, or has a Content-Encoding.",
    422: "The body breaks the rules; `errors` names each field.",
}
References = Mapping[Any, dict[str, Any]]
"""The reference to the schema of each (model, mode)."""


def render_document(contract: Contract) -> dict[str, Any]:
    operations = [*contract.operations, *PROBES, DOCUMENT]
    references, definitions = models_json_schema(list(dict.fromkeys(_models(operations))), ref_template=_SCHEMAS)
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": contract.title, "version": "1.0.0", "description": contract.text},
        "paths": paths,
        "components": {"schemas": definitions["$defs"]},
    }


def render_bytes(contract: Contract) -> bytes:
    return json.dumps(render_document(contract), indent=2, ensure_ascii=False).encode() + b"\n"


def _models(operations: list[Operation]) -> Iterator[tuple[type[BaseModel], JsonSchemaMode]]:
    yield ProblemDocument, "serialization"
    for operation in operations:
        if operation.body:
            yield operation.body, "validation"
        for answer in operation.answers.values():
            if answer.model:
                yield answer.model, "serialization"


def _operation(operation: Operation, references: References) -> dict[str, Any]:
    parameters = [_parameter(parameter) for parameter in operation.parameters]
    if not operation.plain:
        parameters.append(_parameter(_TENANT) | {"schema": _TENANT_SCHEMA})
    document: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.text,
        "parameters": parameters,
        "responses": _responses(operation, references),
    }
    if operation.body:
        schema = references[operation.body, "validation"]
        document["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return document


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.required,
        "description": parameter.text,
        "schema": TypeAdapter(parameter.kind).json_schema(),
    }


def _responses(operation: Operation, references: References) -> dict[str, Any]:
    problems = dict(_ALWAYS) if operation.plain else _ALWAYS | _SHARED
    if operation.body:
        problems |= _OF_BODY
    problems |= {parameter.status: parameter.refusal for parameter in operation.parameters if parameter.status != 400}
    problems |= operation.problems
    responses = {status: _problem(status, text, references) for status, text in problems.items()}
    responses |= {status: _answer(answer, references) for status, answer in operation.answers.items()}
    if operation.links:
        responses[next(iter(operation.answers))]["links"] = {
            link.operation: {"operationId": link.operation, "parameters": dict(link.parameters)}
            for link in operation.links
        }
    return {str(status): responses[status] for status in sorted(responses)}


def _answer(answer: Answer, references: References) -> dict[str, Any]:
    document: dict[str, Any] = {
        "description": answer.text,
        "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()}
        | _SERVED_BY,
    }
    if answer.model:
        document["content"] = {answer.media: {"schema": references[answer.model, "serialization"]}}
    elif answer.media != "application/json":
        document["content"] = {answer.media: {"schema": {"type": "string"}}}
    return document


def _problem(status: int, text: str, references: References) -> dict[str, Any]:
    return {
        "description": f"{title_of(status)}. {text}",
        "headers": _SERVED_BY | (_RETRY if status in {429, 503} else {}),
        "content": {CONTENT_TYPE: {"schema": references[ProblemDocument, "serialization"]}},
    }


if __name__ == "__main__":
    sys.stdout.buffer.write(render_bytes(import_module(sys.argv[1]).CONTRACT))
