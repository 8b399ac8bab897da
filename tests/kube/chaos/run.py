"""A run: begin, steps, calm, and the account of what was found."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from tests.kube.chaos.driver import Driver
from tests.kube.chaos.ending import leftovers
from tests.kube.chaos.findings import Finding
from tests.kube.chaos.judge import Judge
from tests.kube.chaos.objects import VERSION, is_ready, labels_of, name_of, variable
from tests.kube.chaos.operators import tail
from tests.kube.chaos.specs import beginnings
from tests.kube.chaos.world import World, world

LOOK_SECONDS = 0.15
BEGIN_SECONDS = 120.0
END_SECONDS = 120.0
REST_SECONDS = 6.0
LEFT_SECONDS = 40.0
LATE_SECONDS = 2.0
LAST_ACTIONS = 25


@dataclass
class Run:
    seed: int
    steps: int
    slices: list[str]
    log: TextIO
    findings: list[Finding] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    world: World | None = None

    def say(self, words: str) -> None:
        line = f"{time.monotonic() - self.began:7.1f} {words}"
        self.said.append(line)
        self.log.write(line + "\n")
        self.log.flush()

    def news(self, words: str) -> None:
        """In the log alone: the actions before a finding are told without it."""
        self.log.write(f"{time.monotonic() - self.began:7.1f}      · {words}\n")

    def found(self, finding: Finding) -> None:
        self.findings.append(finding)
        self.say(f"!!!! {finding.slice_} {finding.rule}: {finding.words}")
        self.log.write(self._account(finding) + "\n")
        self.log.flush()

    def _account(self, finding: Finding) -> str:
        """All that a reader needs to see what happened."""
        parts = ["     last actions:", *(f"       {line}" for line in self.said[-LAST_ACTIONS:])]
        world_ = self.world
        found = world_.slice(finding.slice_) if world_ is not None and finding.slice_ else None
        if world_ is not None and found is not None:
            parts += [f"     spec: {json.dumps(found['spec'])}", f"     status: {json.dumps(found.get('status'))}"]
            parts += [f"     {line}" for line in _pods(world_, finding.slice_)]
            parts += [f"     wrote: {one.said()}" for one in world_.gateway.writes()[-12:]]
        if world_ is not None:
            for one in world_.operators.processes:
                parts += [f"     {one.name}: {line[:300]}" for line in tail(one.log, 8).splitlines()]
        return "\n".join(parts)


def _pods(world_: World, name: str) -> list[str]:
    lines = []
    for deployment in world_.mirror["Deployment"].values():
        if labels_of(deployment).get("resilientslice.dev/slice") == name:
            status = {k: v for k, v in (deployment.get("status") or {}).items() if k != "conditions"}
            version = variable(deployment["spec"]["template"], VERSION)
            lines.append(
                f"{name_of(deployment)} {version} generation {deployment['metadata']['generation']}"
                f" replicas {deployment['spec']['replicas']} {json.dumps(status)}"
            )
    for pod, proxy in world_.kubelet.proxies(name):
        envoy, installer = proxy.envoy, proxy.installer
        if envoy is None or installer is None:
            continue
        routing = envoy.routing
        good = installer.state.good.digest[:10] if installer.state.good else "nothing"
        lines.append(
            f"Envoy of {name_of(pod)} ready={is_ready(pod)} image {envoy.image} runs {good} epoch"
            f" {list(installer.state.floor)} {routing.said()}"
            f" refused {envoy.refused!r}"
        )
    return lines


async def chaos(seed: int, steps: int, *, folder: Path, network: str, out: Path, slices: int = 5) -> Run:
    """Everything that is written is below `folder`; `out` gets the log."""
    with ExitStack() as stack:
        log = stack.enter_context(out.open("w"))
        run = Run(seed, steps, sorted(beginnings())[:slices] if slices < 5 else sorted(beginnings()), log)
        run.say(f"seed {seed}, {steps} steps, slices {', '.join(run.slices)}")
        async with world(seed, network, folder) as made:
            run.world = made
            await _whole(run, made)
        run.say(f"{len(run.findings)} findings")
        return run


async def _whole(run: Run, made: World) -> None:
    judge = Judge(made, run.found, run.news)
    driver = Driver(made, judge, random.Random(f"{run.seed} actions"), run.say)
    looking = asyncio.create_task(_looking(judge, run))
    try:
        made.operators.start()
        await driver.begin(run.slices)
        for name in run.slices:
            await _until(made, lambda name=name: driver.rests(name), BEGIN_SECONDS, run, name, "never came up")
        run.say("all slices are up")
        for number in range(1, run.steps + 1):
            await driver.step(number)
            if looking.done():
                break
        await driver.calm()
        for name in run.slices:
            await _until(made, lambda name=name: driver.rests(name), END_SECONDS, run, name, "never settles")
        await _rest(run, made)
        if judge.canaries.aborts:
            took = ", ".join(f"{seconds:.1f} ({name})" for seconds, name in sorted(judge.canaries.aborts))
            run.say(f"aborts took {took} fair seconds")
    finally:
        failed = looking.done()
        looking.cancel()
        if failed:
            looking.result()


async def _looking(judge: Judge, run: Run) -> None:
    """Until it is cancelled. That this process itself is slow is said: all that it plays is slow then."""
    last = time.monotonic()
    while True:
        judge.look()
        await asyncio.sleep(LOOK_SECONDS)
        now = time.monotonic()
        if now - last > LATE_SECONDS:
            run.say(f"     this process was held up for {now - last:.1f} s; fair speed {judge.world.fair.speed:.2f}")
        last = now


async def _until(made: World, holds: Callable[[], bool], seconds: float, run: Run, name: str, words: str) -> None:
    end = made.fair.now() + seconds
    while not holds():
        if made.fair.now() > end:
            status: Any = (made.slice(name) or {}).get("status")
            run.found(Finding(made.fair.now(), name, words, json.dumps(status)))
            return
        await asyncio.sleep(0.1)


async def _rest(run: Run, made: World) -> None:
    """Nothing is written, nothing is left over."""
    await _tidied(made)
    end = made.fair.now() + LEFT_SECONDS  # what former pods called is closed when they have had their time
    while True:
        before = made.gateway.mark()
        await asyncio.sleep(REST_SECONDS)
        written = made.gateway.writes(before)
        if not written or made.fair.now() > end:
            break
    if written:
        lines = "\n".join(one.said(made.gateway.writes()) for one in written[:20])
        run.found(Finding(made.fair.now(), "", "writes at rest", f"{len(written)} in {REST_SECONDS:.0f} s:\n{lines}"))
    await _tidied(made)  # what was written meanwhile may have left something to the collector
    for name, words in leftovers(made):
        run.found(Finding(made.fair.now(), name, "left over", words))


async def _tidied(made: World) -> None:
    """Until nothing is left over, or for as long as that may take."""
    end = made.fair.now() + LEFT_SECONDS
    while any(leftovers(made)) and made.fair.now() < end:
        await asyncio.sleep(0.2)
