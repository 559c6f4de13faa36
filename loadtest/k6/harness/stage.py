"""The processes of one run: simulated upstreams, and a relay in front of them, on ports that the system chose.

Refuses to know scenarios, and what k6 does."""

import json
import signal
import subprocess
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from .processes import DEADLINE_SECONDS, ENVIRONMENT, Broken, Process

# Three customers: what one uses must not end up with another.
KEYS = ("acme", "globex", "initech")

CONFIG = """\
[server]
listen = ["127.0.0.1:0"]
takeover_socket = "{socket}"

[admin]
listen = "127.0.0.1:0"

[limits]
# What the scenario `failover` reckons with: a stopped upstream is given up on then.
dial_timeout = "500ms"
# A drain that fits into a run: the sessions of the old process get so long to end by themselves.
drain_grace = "500ms"
drain_timeout = "1s"
drain_spread = "500ms"

[metering]
ledger = "{ledger}"
"""

UPSTREAM = """
[[upstreams]]
name = "{name}"
kind = "openai"
url = "{url}"
key = "sk-upstream"
priority = {priority}
"""

KEY = """
[[keys]]
name = "{name}"
key = "sk-{name}"
models = ["gpt-realtime"]
"""


class Stage:
    """Everything that runs beside k6. Gone when its `with` block ends."""

    def __init__(self, binary, folder: Path, sockets: Path):
        self.binary, self.folder, self.sockets = binary, folder, sockets
        self.ledger = folder / "usage.db"
        self.config = folder / "relay.toml"
        self.upstreams, self.relays = [], []
        self._processes = ExitStack()

    def build(self, upstreams):
        """Starts so many upstreams, of which the first is preferred, and a relay."""
        text = CONFIG.format(socket=self.sockets / "takeover", ledger=self.ledger)
        for number in range(upstreams):
            name = ("primary", "secondary")[number]
            command = ("simulate", "--listen", "127.0.0.1:0", "--key", "sk-upstream", "--seed", number)
            upstream = self._start(name, *command)
            url = upstream.wait_for(r"simulated upstream on (ws://\S+)")
            text += UPSTREAM.format(name=name, url=url, priority=number)
            self.upstreams.append(upstream)
        text += "".join(KEY.format(name=name) for name in KEYS)
        self.config.write_text(text)
        self.add_relay("relay")
        self.url = self.relays[0].wait_for(r"clients connect to (ws://\S+)")
        self.admin = self.relays[0].wait_for(r"probes are answered on (http://[^/\s]+)")

    def add_relay(self, name, *arguments):
        """Starts one more relay with the same configuration."""
        relay = self._start(name, "serve", "--config", self.config, *arguments)
        self.relays.append(relay)
        return relay

    def links(self):
        """What the relay says of each link that runs."""
        with urllib.request.urlopen(f"{self.admin}/links", timeout=DEADLINE_SECONDS) as answer:
            return json.load(answer)

    def finish(self):
        """Has every relay that still runs end well, so that all is recorded, and every upstream."""
        for process in self.relays:
            process.finish()
        for process in self.upstreams:
            if process.wait(0) != -signal.SIGKILL:
                process.finish()

    def usage(self, by):
        """What `realtime-relay usage` says of the run."""
        command = [str(self.binary), "usage", "--ledger", str(self.ledger), "--by", by, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=DEADLINE_SECONDS)
        if done.returncode:
            raise Broken(f"`usage` ended with {done.returncode}: {done.stderr.strip()}")
        return {group["group"]: group for group in json.loads(done.stdout)}

    def _start(self, name, *arguments):
        log = self.folder / f"{name}.log"
        return self._processes.enter_context(Process(name, log, self.binary, *arguments))

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        return self._processes.__exit__(*failure)
