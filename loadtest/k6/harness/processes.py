"""Processes that are started, asked and stopped by handle. Refuses to know what they do."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

# A process that is neither up nor down by then never will be; a loaded machine starts one in far less.
DEADLINE_SECONDS = 20

# How often a log is looked at. Nothing is measured by it.
LOOK_SECONDS = 0.02

# What a run is told by is what is on the command line and in its configuration, not what the shell holds.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "K6_"))}


class Broken(Exception):
    """The run could not be carried out as it was meant to be; the reason."""


class Process:
    """One process, whose output goes to a file. Stopped, whatever happens, when its `with` block ends."""

    def __init__(self, name, log: Path, *command):
        self.name, self.log = name, log
        with log.open("wb") as output:
            # In a session of its own: whoever interrupts the run from a terminal interrupts this script alone, which
            # then stops everything in order.
            self.child = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env=ENVIRONMENT, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self):
        return self.child.pid

    def wait_for(self, pattern):
        """What the first group of `pattern` matches in its output, as soon as it is there."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            ended = self.child.poll() is not None
            found = re.search(pattern, self.log.read_text(errors="replace"))
            if found:
                return found[1]
            if ended or time.monotonic() > deadline:
                raise Broken(f"{self.name} says no `{pattern}`{' and has ended' if ended else ''}; see {self.log}")
            time.sleep(LOOK_SECONDS)

    def send(self, number):
        self.child.send_signal(number)

    def wait(self, seconds):
        """Its exit code; None if it still runs after so many seconds."""
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def finish(self):
        """Ends it as whoever sits at the terminal would, and has it end well."""
        if self.child.poll() is None:
            self.send(signal.SIGINT)
        code = self.wait(DEADLINE_SECONDS)
        if code != 0:
            raise Broken(f"{self.name} {'does not end' if code is None else f'ended with {code}'}; see {self.log}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            # Also ends what was stopped.
            self.child.kill()
            self.child.wait()
