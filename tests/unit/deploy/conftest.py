"""A slice to compare the chart with."""

import json

import pytest

from resilientslice.api.slice import ResilientSlice


@pytest.fixture
def of_one_service() -> ResilientSlice:
    document = {
        "apiVersion": "resilientslice.dev/v1alpha1",
        "kind": "ResilientSlice",
        "metadata": {"name": "shop"},
        "spec": {"services": [{"name": "web", "image": "web:1", "port": 80}]},
    }
    return ResilientSlice.model_validate_json(json.dumps(document))
