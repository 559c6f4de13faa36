"""The two processes under test: started on free ports, read line by line, ended by handle.

It refuses to know clients, and what is said to the processes.
"""

import json
import os
import re
import signal
import subprocess
import threading
from pathlib import Path

# A process that is neither up nor down by then never will be; a loaded machine starts one in far less.
DEADLINE_SECONDS = 15

BINARY = os.environ["REALTIME_RELAY_BIN"]

# What these tests are told by is what is on the command line and in the file, not what the shell holds.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}

# Only for the upstream, and only for the client. Neither may be found in the other's hands, or in a log.
UPSTREAM_KEY = "sk-upstream-1f0c7d52"
CLIENT_KEY = "sk-client-9b3e88a4"


class Output:
    """The lines of a stream, as they come."""

    def __init__(self, stream):
        self.lines = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._reader.start()

    def wait_for(self, found, what):
        """The first result of `found(lines)` that is not None."""
        with self._changed:
            answer = self._changed.wait_for(
                lambda: self._ended or found(self.lines) is not None, DEADLINE_SECONDS
            )
            result = found(self.lines)
        assert result is not None, f"no {what} {'in time' if not answer else 'before the end'}: {self.lines}"
        return result

    def rest(self):
        """All lines, once the stream has ended."""
        self._reader.join(DEADLINE_SECONDS)
        assert not self._reader.is_alive(), "the stream does not end"
        return self.lines

    def _read(self, stream):
        with stream:
            for line in stream:
                with self._changed:
                    self.lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class Process:
    """One process of the binary, or of another program."""

    def __init__(self, *arguments, program=BINARY, **pipes):
        self.child = subprocess.Popen(
            [program, *arguments], stdin=subprocess.DEVNULL, text=True, env=ENVIRONMENT, **pipes
        )

    def stop(self):
        """Ends it as whoever sits at the terminal would, without a grace for load balancers; its exit code."""
        self.child.send_signal(signal.SIGINT)
        try:
            return self.child.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()


class Simulator(Process):
    """A simulated upstream that takes `UPSTREAM_KEY` alone. Every one of them says the same to its first client."""

    def __init__(self):
        super().__init__(
            "simulate", "--listen", "127.0.0.1:0", "--pace", "20", "--key", UPSTREAM_KEY, stdout=subprocess.PIPE
        )
        self.port = address_in(Output(self.child.stdout), "simulated upstream on")

    @property
    def base(self):
        """What the library calls `websocket_base_url`."""
        return f"ws://127.0.0.1:{self.port}/v1"


class Relay(Process):
    """A relay in front of the upstream at a port, with lines for two tables. Its log says all it can."""

    def __init__(self, folder: Path, upstream_port, server="", limits=""):
        config = folder / "relay.toml"
        config.write_text(CONFIG.format(upstream_port=upstream_port, server=server, limits=limits))
        super().__init__("serve", "--config", str(config), stderr=subprocess.PIPE)
        self.output = Output(self.child.stderr)
        self.port = address_in(self.output, "clients connect to")

    @property
    def base(self):
        """What the library calls `websocket_base_url`."""
        return f"ws://127.0.0.1:{self.port}/v1"

    def record(self, message):
        """The first record with this message, as soon as it is there."""
        return self.output.wait_for(lambda lines: next(iter(records(lines, message)), None), message)

    def finish(self):
        """Stops it, and gives all lines of its log."""
        code = self.stop()
        lines = self.output.rest()
        assert code == 0, lines
        return lines


def records(lines, message):
    """The records with this message."""
    return [record for record in map(json.loads, lines) if record.get("message") == message]


def address_in(output, introduction):
    """The port in the line that says where a process listens."""
    pattern = re.compile(re.escape(introduction) + r" ws://127\.0\.0\.1:(\d+)/v1/realtime")
    return output.wait_for(
        lambda lines: next((int(found[1]) for found in map(pattern.search, lines) if found), None), introduction
    )


CONFIG = f"""
[server]
listen = ["127.0.0.1:0"]
auth = "keys"
{{server}}

[limits]
{{limits}}

[admin]
listen = "127.0.0.1:0"

[log]
format = "json"
level = "trace"

[[upstreams]]
name = "simulated"
kind = "openai"
url = "ws://127.0.0.1:{{upstream_port}}/v1/realtime"
key = "{UPSTREAM_KEY}"

[[keys]]
name = "interop"
key = "{CLIENT_KEY}"
"""
