"""What happens in the middle of a run, while k6 goes on. Refuses to know what k6 and the ledger say about it."""

import os
import signal
import time
from pathlib import Path

from .processes import DEADLINE_SECONDS, LOOK_SECONDS, Broken

# k6 starts hundreds of virtual users in that time, also on a machine that does other things as well.
START_SECONDS = 90

# After the first links stand: then there is something to be interrupted.
BEFORE_SECONDS = {"smoke": 1.5, "load": 15, "stress": 20}

# How long the upstream is stopped before it is killed. Less than the patience of k6's sessions, and of its thresholds.
STOPPED_SECONDS = 2.5

# Grace, timeout and spread of the drain, and what settling and closing may take on top (all in the configuration).
DRAIN_SECONDS = 15

# What allocators and caches may still take when a load has run for a third of its time.
MEMORY_SLACK_KIB = 8 << 10
MEMORY_SLACK = 0.10
# The epoll instance and such; a leak of one a link would be hundreds.
DESCRIPTOR_SLACK = 8


def nothing(stage, k6, profile):
    """Nothing happens, and nothing may."""


def fail_over(stage, k6, profile):
    """The first upstream stops to answer, as a machine that hangs; then it is gone."""
    _until_busy(stage, k6, profile)
    primary = stage.upstreams[0]
    primary.send(signal.SIGSTOP)
    _go_on(k6, STOPPED_SECONDS)
    primary.send(signal.SIGKILL)


def take_over(stage, k6, profile):
    """A second relay takes the place of the first, which ends its links and exits well."""
    _until_busy(stage, k6, profile)
    predecessor = stage.relays[0]
    successor = stage.add_relay("successor", "--takeover", stage.sockets / "takeover")
    successor.wait_for(r"(the predecessor accepts no more connections)")
    code = predecessor.wait(DRAIN_SECONDS)
    if code != 0:
        raise Broken(f"the drained relay {'does not end' if code is None else f'ended with {code}'}")
    if k6.wait(0) is not None:
        raise Broken("k6 ended before the drain did")


def watch_growth(stage, k6, profile):
    """Memory and descriptors of the relay do not grow while the load stays the same, and go back afterwards."""
    relay = stage.relays[0].pid
    idle = _descriptors(relay)
    _until_busy(stage, k6, profile)
    seconds = {"smoke": 2, "load": 180, "stress": 1_200}[profile]
    _go_on(k6, seconds)
    early = _memory_kib(relay)
    # Looked at while k6 runs: when it has ended, there is no load.
    late = early
    while k6.wait(0.5) is None:
        late = _memory_kib(relay)
    print(f"  memory             {early} KiB after {seconds} s, {late} KiB at the end")
    if late > early * (1 + MEMORY_SLACK) + MEMORY_SLACK_KIB:
        raise Broken(f"the relay grew from {early} to {late} KiB under the same load")
    deadline = time.monotonic() + DEADLINE_SECONDS
    while _descriptors(relay) > idle + DESCRIPTOR_SLACK:
        if time.monotonic() > deadline:
            raise Broken(f"{_descriptors(relay)} descriptors are left, of {idle} at the beginning")
        time.sleep(LOOK_SECONDS)


def _until_busy(stage, k6, profile):
    deadline = time.monotonic() + START_SECONDS
    while not stage.links():
        if time.monotonic() > deadline:
            raise Broken("k6 opens no link")
        _go_on(k6, LOOK_SECONDS)
    _go_on(k6, BEFORE_SECONDS[profile])


def _go_on(k6, seconds):
    if k6.wait(seconds) is not None:
        raise Broken(f"k6 ended before its time; see {k6.log}")


def _memory_kib(pid):
    """Proportional set size: what it has of its own, and its share of the rest."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError as error:
        raise Broken(f"nothing can be known of the relay's memory: {error}") from error
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _descriptors(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError as error:
        raise Broken(f"nothing can be known of the relay's descriptors: {error}") from error
