"""A slice without a canary section, whose edits are plain rolling updates."""

import pytest


@pytest.fixture
def plain(cluster):
    """No canary section."""
    cluster.spec.pop("canary")
    cluster.edit().settle()
    return cluster
