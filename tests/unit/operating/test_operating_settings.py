"""Where the operator is: agents are told to let it in from there."""

import pytest

from resilientslice.operating.settings import own_namespace


@pytest.mark.parametrize(("text", "found"), [("platform\n", "platform"), ("", "resilientslice-system")])
def test_the_namespace_of_a_pod_is_in_a_file(tmp_path, text, found):
    (tmp_path / "namespace").write_text(text)
    assert own_namespace(tmp_path / "namespace") == found


def test_elsewhere_it_is_the_charts(tmp_path):
    assert own_namespace(tmp_path / "namespace") == "resilientslice-system"
