"""The line of proxies through an upgrade, in any order of events: never more at a time, and everybody's turn comes."""

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resilientslice.kube.cache import Children
from resilientslice.kube.children import ASKED_ANNOTATION, DIGEST_ANNOTATION, REVISION_ANNOTATION, noted
from resilientslice.kube.kinds import RESILIENT_SLICE, SliceKey
from resilientslice.kube.slices import Slices
from resilientslice.planning.timestamps import rfc3339
from resilientslice.rollouts.scheduler import ProxyRollouts
from resilientslice.rollouts.slots import STALL_SECONDS

OLD, NEW, NEWER = "1", "2", "3"


@dataclass(frozen=True)
class Wanted:
    """What `look` reads of what is expected."""

    template: str
    asked: str = "x"

    @property
    def digest(self):
        return f"{self.template}/{self.asked}"

    @property
    def notes(self):
        return {REVISION_ANNOTATION: self.template, ASKED_ANNOTATION: self.asked}

    def annotations(self):
        """Of a Deployment that was applied as it is wanted."""
        return {DIGEST_ANNOTATION: self.digest, **self.notes}


@dataclass
class Cluster:
    """Slices with proxies of OLD, whose operator wants them to be of `wants`."""

    count: int
    places: int
    wants: str = NEW
    version: int = 0
    deployments: dict[SliceKey, dict] = field(default_factory=dict)
    started: list[SliceKey] = field(default_factory=list)
    namespaces: int = 3
    now: float = 1_800_000_000.0

    def __post_init__(self):
        self.keys = [SliceKey(f"ns-{number % self.namespaces}", f"s{number:02}") for number in range(self.count)]
        for key in self.keys:
            self.apply(key, Wanted(OLD))
            self.end(key)
        self.restart()

    def restart(self):
        self.woken = deque()
        self.slices = Slices(on_change=lambda key: None)
        self.children = Children(on_change=lambda key: None, shape=noted)
        self.rollouts = ProxyRollouts(
            self.slices, self.children, places=self.places, wake=self.woken.append, clock=lambda: self.now
        )
        for key in self.keys:
            metadata = {"namespace": key.namespace, "name": key.name, "uid": str(key), "resourceVersion": "1"}
            self.slices.told({"kind": RESILIENT_SLICE.kind, "metadata": metadata})
            self.children.told(self.deployments[key])
        self.woken.extend(self.keys)

    def apply(self, key, wanted):
        self.version += 1
        live = self.deployments.get(key, {"metadata": {"generation": 0}, "status": {}})
        before = live["metadata"].get("annotations", {}).get(REVISION_ANNOTATION)
        self.deployments[key] = {
            "kind": "Deployment",
            "metadata": {
                "namespace": key.namespace,
                "name": f"{key.name}-proxy",
                "uid": f"uid-{key}",
                "generation": live["metadata"]["generation"] + (before != wanted.template),
                "resourceVersion": str(self.version),
                "labels": {"resilientslice.dev/slice": key.name},
                "annotations": wanted.annotations(),
                "ownerReferences": [{"uid": str(key), "controller": True}],
            },
            "spec": {"replicas": 2},
            "status": live["status"],
        }

    def end(self, key, *, stuck=False):
        """Its controller has counted: all are new, or the first new one does not come up."""
        self.version += 1
        live = self.deployments[key]
        generation = live["metadata"]["generation"]
        counts = {"replicas": 3, "updatedReplicas": 1, "availableReplicas": 2} if stuck else {}
        status = {
            "replicas": 2,
            "updatedReplicas": 2,
            "availableReplicas": 2,
            **counts,
            "observedGeneration": generation,
        }
        said = {"type": "Progressing", "status": "False" if stuck else "True"}
        before = live["status"].get("conditions", [{}])[0]
        same = before.get("status") == said["status"] and live["status"].get("observedGeneration") == generation
        status["conditions"] = [{**said, "lastUpdateTime": before["lastUpdateTime"] if same else rfc3339(self.now)}]
        metadata = {**live["metadata"], "resourceVersion": str(self.version)}
        self.deployments[key] = {**live, "metadata": metadata, "status": status}

    def heard(self, key):
        self.children.told(self.deployments[key])
        self.woken.append(key)

    def do(self, key, *, asked="x"):
        """A pass; what it found out about its place in line."""
        wanted = Wanted(self.wants, asked)
        found = self.rollouts.look(key, wanted)
        if found is None and self.deployments[key]["metadata"]["annotations"] != wanted.annotations():
            self.apply(key, wanted)
            self.started.append(key)
            self.children.saw(self.deployments[key])
        self.rollouts.settle(key)
        return found

    def work_in_order(self):
        self.woken.clear()
        self.woken.extend(sorted(self.keys))
        self.work()

    def work(self):
        while self.woken:
            self.do(self.woken.popleft())

    def rolling(self):
        return [
            key for key in self.keys if self.deployments[key]["status"].get("updatedReplicas") == 1 or self.unseen(key)
        ]

    def unseen(self, key):
        live = self.deployments[key]
        return live["status"]["observedGeneration"] < live["metadata"]["generation"]

    def turn(self, *stuck, seconds=60.0, everything=False):
        """Time passes; every rollout that can ends, those of `stuck` don't. Whoever waits looks now and then."""
        self.now += seconds
        for key in self.rolling():
            if key in stuck or everything:
                self.end(key, stuck=True)
            else:
                self.end(key)
            self.heard(key)
        self.work()

    def look_again(self):
        self.woken.extend(key for key in self.keys if key not in self.rolling())
        self.work()

    def at(self, template):
        return sum(d["metadata"]["annotations"][REVISION_ANNOTATION] == template for d in self.deployments.values())


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(0, 11)),
        st.tuples(st.just("end"), st.integers(0, 11)),
        st.tuples(st.just("work"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=60,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events=EVENTS, places=st.integers(1, 4))
def test_never_more_at_a_time_and_everybodys_turn_comes(events, places):
    at = Cluster(12, places)
    for what, number in events:
        key = at.keys[number]
        if what == "pass":
            at.do(key)
        elif what == "work":
            at.work()
        elif what == "restart":
            at.restart()
        elif at.rolling():
            done = at.rolling()[number % len(at.rolling())]
            at.end(done)
            at.heard(done)
        assert len(at.rolling()) <= places
    at.work()
    for _ in range(len(at.keys)):
        for key in at.rolling():
            at.end(key)
            at.heard(key)
        at.work()
        assert len(at.rolling()) <= places
    assert at.at(NEW) == 12, "woken by those before them alone"
    assert len(at.started) == 12, "each once"


def test_the_next_is_woken_at_once_and_in_order():
    at = Cluster(6, 2)
    at.woken.clear()
    for key in reversed(at.keys):
        at.do(key)
    assert at.started == [at.keys[5], at.keys[4]]
    waiting = sorted(at.keys[:4])
    for expected in waiting:
        done = at.rolling()[0]
        at.end(done)
        at.children.told(at.deployments[done])
        at.do(done)
        assert at.woken[0] == expected
        at.work()
        assert at.started[-1] == expected


def test_a_bad_upgrade_stops_and_the_one_that_mends_it_goes_on():
    at = Cluster(8, 2, namespaces=8)
    at.work()
    first = at.rolling()
    for key in first:
        at.end(key, stuck=True)
        at.heard(key)
    at.work()
    assert (at.at(NEW), at.rolling()) == (2, first)
    found = at.do(sorted(at.keys)[7])
    assert found.stuck == tuple(sorted(str(key) for key in first))
    at.wants = NEWER
    at.restart()
    at.work()
    assert at.rolling() == first, "they have their places already"
    assert at.at(NEWER) == 2
    for _ in range(8):
        for key in at.rolling():
            at.end(key)
            at.heard(key)
        at.work()
    assert at.at(NEWER) == 8


def test_who_waits_is_told_when_a_rollout_turns_out_to_be_stuck_and_once():
    at = Cluster(4, 1)
    at.work()
    (one,) = at.rolling()
    at.end(one, stuck=True)
    at.heard(one)
    at.do(at.woken.popleft())
    assert sorted(at.woken) == sorted(key for key in at.keys if key != one)
    at.work()
    at.do(one)
    assert not at.woken


def test_an_edit_does_not_wait_and_takes_a_place():
    at = Cluster(4, 1)
    at.work()
    waiting = next(key for key in at.keys if key not in at.rolling())
    assert at.do(waiting) is not None
    assert at.do(waiting, asked="y") is None
    assert len(at.rolling()) == 2, "one more than places: a person asked for it"
    first = at.started[0]
    at.end(first)
    at.heard(first)
    at.work()
    assert at.rolling() == [waiting]


@pytest.mark.parametrize("how", ["settle", "leave"])
def test_a_place_that_is_not_used_is_given_on(how):
    at = Cluster(3, 1)
    at.woken.clear()
    one, two, _ = sorted(at.keys)
    assert at.rollouts.look(one, Wanted(NEW)) is None
    assert at.rollouts.look(two, Wanted(NEW)) is not None
    getattr(at.rollouts, how)(one)
    assert list(at.woken) == [two]
    assert at.rollouts.look(two, Wanted(NEW)) is None


def test_what_was_written_is_counted_before_anybody_sees_it():
    at = Cluster(3, 1)
    one, two, _ = sorted(at.keys)
    assert at.rollouts.look(one, Wanted(NEW)) is None
    assert at.rollouts.look(two, Wanted(NEW)) is not None, "the write of the other is under way"
    at.apply(one, Wanted(NEW))
    at.children.saw(at.deployments[one])
    at.rollouts.settle(one)
    assert at.rollouts.look(two, Wanted(NEW)) is not None, "its controller has not counted yet"


def test_a_change_of_nothing_in_the_pods_hands_its_place_on():
    """The first upgrade to an operator that notes what it made."""
    at = Cluster(3, 1, wants=OLD)
    one, two, _ = sorted(at.keys)
    for live in at.deployments.values():
        live["metadata"]["annotations"] = {DIGEST_ANNOTATION: "of an operator that notes nothing"}
    at.restart()
    at.woken.clear()
    assert at.rollouts.look(one, Wanted(OLD)) is None
    assert at.rollouts.look(two, Wanted(OLD)) is not None
    live = at.deployments[one]
    metadata = {**live["metadata"], "annotations": Wanted(OLD).annotations(), "resourceVersion": "1000"}
    at.children.saw({**live, "metadata": metadata})
    at.rollouts.settle(one)
    assert list(at.woken) == [two]


def test_a_restarted_operator_takes_those_it_has_not_looked_at_for_waiting():
    """Else each status would be written anew while it looks at one slice after the other."""
    at = Cluster(12, 1)
    at.work()
    last = max(at.keys)
    before = at.do(last)
    assert before.before == 10
    at.restart()
    assert at.do(last) == before


def test_one_tenants_rollouts_that_stall_do_not_hold_up_the_others():
    at = Cluster(40, 5, namespaces=8)
    broken = [key for key in at.keys if key.namespace == "ns-0"]
    assert len(broken) == 5
    at.work_in_order()
    assert sorted(at.rolling()) == sorted(broken), "by namespace and name, they come first"
    for _ in range(40):
        at.turn(*broken)
        assert len([key for key in at.rolling() if key not in broken]) <= 5
    assert at.at(NEW) == 40
    assert sorted(at.rolling()) == sorted(broken)


def test_those_who_wait_are_told_who_stalls_and_whether_it_goes_on():
    at = Cluster(12, 2, namespaces=4)
    at.work_in_order()
    one, two = at.rolling()
    assert {one.namespace, two.namespace} == {"ns-0"}
    at.turn(one, two)
    found = at.do(max(at.keys))
    assert (found.stuck, found.stopped) == ((str(one), str(two)), False)
    assert at.do(max(key for key in at.keys if key.namespace == "ns-0")).stopped, "nothing more is tried there"


@pytest.mark.parametrize(("namespaces", "most"), [(1, 5), (2, 9), (60, 15)])
def test_an_upgrade_that_fails_everywhere_reaches_a_few_and_stops(namespaces, most):
    """However long it is left alone."""
    at = Cluster(60, 5, namespaces=namespaces)
    at.work()
    for _ in range(20):
        at.turn(everything=True, seconds=STALL_SECONDS)
        at.look_again()
    assert at.at(NEW) <= most
    assert at.do(max(at.keys)).stopped


def test_an_upgrade_that_fails_for_most_stops_too():
    at = Cluster(120, 5, namespaces=40)
    bad = {key for number, key in enumerate(sorted(at.keys)) if number % 3}
    at.work()
    for _ in range(25):
        at.turn(*bad, seconds=STALL_SECONDS)
        at.look_again()
    assert len(bad) == 80
    assert sum(at.deployments[key]["metadata"]["annotations"][REVISION_ANNOTATION] == NEW for key in bad) <= 20


def test_a_few_that_stall_in_many_namespaces_hold_up_nobody_once_most_succeed():
    at = Cluster(120, 5, namespaces=40)
    bad = {key for number, key in enumerate(sorted(at.keys)) if number % 10 == 3}
    at.work()
    for _ in range(30):
        at.turn(*bad)
        at.look_again()
    assert (at.at(NEW), set(at.rolling())) == (120, bad)
    at.restart()
    at.work()
    assert at.at(NEW) == 120, "and a restart begins nothing anew"


def test_a_restart_in_the_middle_knows_what_had_succeeded():
    at = Cluster(120, 5, namespaces=40)
    bad = {key for number, key in enumerate(sorted(at.keys)) if number % 10 == 3}
    at.work()
    while at.at(NEW) < 80:
        at.turn(*bad)
        at.look_again()
    assert len([key for key in bad if key in at.rolling()]) > 5
    at.restart()
    at.work()
    for _ in range(30):
        at.turn(*bad)
        at.look_again()
    assert at.at(NEW) == 120


def test_those_that_had_not_settled_before_an_upgrade_say_nothing_of_it():
    at = Cluster(40, 5, namespaces=40)
    broken = sorted(at.keys)[:6]
    for key in broken:
        at.apply(key, Wanted("broken by an edit"))
        at.end(key, stuck=True)
    at.restart()
    at.work_in_order()
    assert set(broken) <= set(at.rolling()), "what mends them may be in it"
    for _ in range(20):
        at.turn(*broken)
        at.look_again()
    assert at.at(NEW) == 40


def test_a_rollout_that_is_kept_going_for_ever_holds_no_place_for_ever():
    """Edited again and again, it never gets stuck."""
    at = Cluster(20, 5, namespaces=20)
    endless = sorted(at.keys)[:5]
    at.work_in_order()
    assert sorted(at.rolling()) == endless
    for number in range(40):
        at.now += 60
        wanted = Wanted(f"{NEW} edited {number}", f"edit {number}")
        for key in endless:
            at.rollouts.look(key, wanted)
            at.apply(key, wanted)
            at.children.saw(at.deployments[key])
            at.rollouts.settle(key)
        for key in set(at.rolling()) - set(endless):
            at.end(key)
            at.heard(key)
        at.woken.extend(key for key in at.keys if key not in endless)
        at.work()
    assert at.at(NEW) == 15, "all others"


def test_a_rollout_that_ends_and_begins_anew_holds_no_place_for_ever():
    at = Cluster(12, 2, namespaces=12)
    churning = sorted(at.keys)[:2]
    at.work_in_order()
    for number in range(60):
        at.now += 50
        for key in churning:
            at.end(key)
            at.children.told(at.deployments[key])
        at.look_again()  # for a moment they have settled
        for key in churning:
            at.apply(key, Wanted(f"{number}"))
            at.children.told(at.deployments[key])
            at.rollouts.settle(key)
        for key in set(at.rolling()) - set(churning):
            at.end(key)
            at.heard(key)
        at.woken.extend(key for key in at.keys if key not in churning)
        at.work()
    others = [key for key in at.keys if key not in churning]
    assert all(at.deployments[key]["metadata"]["annotations"][REVISION_ANNOTATION] == NEW for key in others)


def test_a_slice_that_is_suspended_while_its_rollout_stalls_holds_no_place():
    at = Cluster(6, 1, namespaces=6)
    at.work_in_order()
    (one,) = at.rolling()
    at.end(one, stuck=True)
    at.children.told(at.deployments[one])
    at.woken.clear()
    at.rollouts.leave(one)
    assert list(at.woken)
    at.work()
    assert len(at.started) == 2
