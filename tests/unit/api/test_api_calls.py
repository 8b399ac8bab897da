"""Edges between services: unknown ones, cycles and chains. Properties on random graphs."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilientslice.api.rules.calls import CYCLE, MAX_CHAIN, find_cycles, longest_chain


def chain(length: int) -> list[dict]:
    names = [f"s{i}" for i in range(length)]
    return [
        {"name": name, "image": "a:1", "port": 80, "dependsOn": names[i + 1 : i + 2]} for i, name in enumerate(names)
    ]


def test_an_unknown_service_gets_the_nearest_name(document, problems) -> None:
    data = document({"dependsOn": ["paymets", "nothing-like-it"]})
    data["spec"]["services"].append({"name": "payments", "image": "p:1", "port": 80})
    assert [(problem.path[3:], problem.fix) for problem in problems(data)] == [
        (("dependsOn", 0), "did you mean payments?"),
        (("dependsOn", 1), "add a service nothing-like-it, or remove it here"),
    ]


def test_a_call_of_itself_is_one_problem_and_no_cycle(document, problems) -> None:
    (found,) = problems(document({"dependsOn": ["web"]}))
    assert found.rule == "a service must not depend on itself"


def test_a_portless_service_is_named(document, problems) -> None:
    data = document({"dependsOn": ["worker"]})
    data["spec"]["services"].append({"name": "worker", "image": "w:1"})
    (found,) = problems(data)
    assert found.fix == "give worker a port, or remove it here"


def test_a_cycle_is_spelled_out_at_the_edge_that_closes_it(document, problems) -> None:
    data = document()
    services = chain(3)
    services[2]["dependsOn"] = ["s0"]
    data["spec"]["services"] = services
    (found,) = problems(data)
    assert found.path == ("spec", "services", 2, "dependsOn", 0)
    assert found.rule == f"{CYCLE}: s0 → s1 → s2 → s0"


@pytest.mark.parametrize(("length", "broken"), [(MAX_CHAIN, False), (MAX_CHAIN + 1, True), (60, True)])
def test_a_chain_has_an_end(document, problems, length: int, broken: bool) -> None:
    data = document()
    data["spec"]["services"] = chain(length)
    found = problems(data)
    assert bool(found) is broken
    if broken:
        assert found[0].path == ("spec", "services", 0, "dependsOn")
        assert found[0].rule.startswith("a chain of dependsOn must not be longer than 32 services: s0 → s1 → s2")


def test_two_cycles_are_two_problems() -> None:
    assert find_cycles({"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c", "a"]}) == [["a", "b", "a"], ["c", "d", "c"]]


def test_a_diamond_is_no_cycle() -> None:
    graph = {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}
    assert find_cycles(graph) == []
    assert longest_chain(graph) in (["a", "b", "d"], ["a", "c", "d"])


def test_names_outside_of_the_graph_are_no_part_of_it() -> None:
    assert find_cycles({"a": ["x"]}) == []
    assert longest_chain({"a": ["x"]}) == ["a"]
    assert longest_chain({}) == []


@st.composite
def ordered_graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Services that call only later ones: never a cycle. In any order."""
    names = [f"s{i}" for i in range(draw(st.integers(2, 12)))]
    graph = {
        name: draw(st.lists(st.sampled_from(names[i + 1 :]), unique=True)) if names[i + 1 :] else []
        for i, name in enumerate(names)
    }
    return {name: graph[name] for name in draw(st.permutations(names))}


@given(ordered_graphs())
def test_ordered_calls_have_no_cycle_and_a_chain_of_edges(graph) -> None:
    assert find_cycles(graph) == []
    way = longest_chain(graph)
    assert all(there in graph[here] for here, there in pairwise(way))
    assert not graph[way[-1]]


@given(ordered_graphs(), st.data())
def test_an_edge_back_is_found_as_a_cycle_of_edges(graph, data) -> None:
    callers = [name for name in graph if graph[name]]
    if not callers:
        return
    caller = data.draw(st.sampled_from(callers))
    callee = data.draw(st.sampled_from(graph[caller]))
    closed = {**graph, callee: [*graph[callee], caller]}
    cycles = find_cycles(closed)
    assert cycles
    for cycle in cycles:
        assert cycle[0] == cycle[-1]
        assert all(there in closed[here] for here, there in pairwise(cycle))
