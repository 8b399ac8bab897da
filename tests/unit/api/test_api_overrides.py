"""Overrides are derived from what they override: a field that is added to a model needs no second place."""

import pytest

from resilientslice.api.base import Model
from resilientslice.api.overrides import given, overridden, override_of
from resilientslice.api.policies import RequestRetries, RequestRetriesOverride, Resilience, ResilienceOverride


class Inner(Model):
    size: int = 1
    """Its size."""
    weight: int = 2


class Outer(Model):
    inner: Inner = Inner()
    name: str = "plain"


@pytest.mark.parametrize(
    ("model", "override"), [(RequestRetries, RequestRetriesOverride), (Resilience, ResilienceOverride)]
)
def test_an_override_has_the_fields_of_its_model_and_requires_none(model, override):
    assert set(override.model_fields) == set(model.model_fields)
    assert override().model_dump(exclude_none=True) == {}


def test_bounds_aliases_and_descriptions_are_the_models():
    made = override_of(Inner)
    assert made.model_fields["size"].description == Inner.model_fields["size"].description
    bounds = ResilienceOverride.model_json_schema(by_alias=True)["$defs"]["OutlierDetectionOverride"]["properties"]
    assert bounds["consecutive5xxErrors"]["anyOf"][0] == {"minimum": 1, "maximum": 1000, "type": "integer"}


def test_the_last_override_wins_field_by_field():
    override = override_of(Outer)
    first, second = override.model_validate({"inner": {"size": 7}}), override.model_validate({"inner": {"weight": 8}})
    made = overridden(Outer(), first, None, second)
    assert (made.inner.size, made.inner.weight, made.name) == (7, 8, "plain")
    assert isinstance(made, Outer)


def test_given_is_what_an_override_has_and_none_for_what_it_has_not():
    override = override_of(Outer).model_validate({"inner": {"size": 7}})
    assert (given(override, "inner", "size"), given(override, "inner", "weight"), given(None, "name")) == (
        7,
        None,
        None,
    )
