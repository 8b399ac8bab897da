"""What the tests of the resource share: a small valid document, and the problems of one."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resilientslice.api.problems import InvalidSliceError, Problem
from resilientslice.api.validation import parse_slice

Data = dict[str, Any]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture
def document() -> Callable[..., Data]:
    """A document with one service `web`; `service` goes into that, everything else into the spec."""

    def make(service: Data | None = None, **spec: Any) -> Data:
        web = {"name": "web", "image": "example.org/web:1.0.0", "port": 8080, **(service or {})}
        return copy.deepcopy(
            {
                "apiVersion": "resilientslice.dev/v1alpha1",
                "kind": "ResilientSlice",
                "metadata": {"name": "shop"},
                "spec": {"services": [{k: v for k, v in web.items() if v is not ...}], **spec},
            }
        )

    return make


@pytest.fixture
def problems() -> Callable[[Any], tuple[Problem, ...]]:
    """All problems of a document, none when it is valid."""

    def find(data: Any) -> tuple[Problem, ...]:
        try:
            parse_slice(data)
        except InvalidSliceError as error:
            return error.problems
        return ()

    return find
