"""The suite through the relay and without it: the peers started, the cases run, the verdicts laid side by side.

Two set-ups: `server`, where the suite's fuzzing client talks to an echo server, and `client`, where a client echoes to the
suite's fuzzing server. Each runs once without the relay (`direct`), and once for each way of forwarding.
It refuses to know what a verdict means: `verdicts` does.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import verdicts

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop" / "python"))
from processes import BINARY, ENVIRONMENT, Output, Process, address_in  # noqa: E402

# A run takes about 30 seconds where nothing else runs; one that hangs never ends.
DEADLINE_SECONDS = 300

SET_UPS = ["server", "client"]
FORWARDERS = ["verbatim", "framed"]
DIRECT = "direct"

# Compression: the relay declines every extension, and so does the suite then.
EXCLUDED = ["12.*", "13.*"]

# The suite puts a message of 65,536 fragments together before its 101 leaves, which takes seconds on a busy machine. That is
# no slowness of the relay, so nobody gives up for it.
PATIENCE_SECONDS = 60


def main():
    asked = arguments()
    forwarders = FORWARDERS if asked.forwarding == "both" else [asked.forwarding]
    forwarders = [name for name in forwarders if is_there(name, needed=asked.forwarding == name)]
    runs = [(set_up, way) for set_up in SET_UPS for way in [DIRECT, *forwarders]]
    # More at once than there are cores: a run waits much of its time.
    with ThreadPoolExecutor(max_workers=3) as pool:
        found = dict(zip(runs, pool.map(lambda run: verdicts_of(*run, asked), runs)))
    through, worse = 0, 0
    for set_up in SET_UPS:
        for way in forwarders:
            compared = verdicts.Comparison(found[set_up, DIRECT], found[set_up, way], whole_frames=way == "framed")
            compared.print(f"{set_up}, {way}")
            through += len(compared.through)
            worse += len(compared.worse)
    summary = {set_up: {way: found[set_up, way] for way in [DIRECT, *forwarders]} for set_up in SET_UPS}
    (asked.out / "verdicts.json").write_text(json.dumps(summary, indent=1, sort_keys=True))
    print(f"verdicts: {asked.out / 'verdicts.json'}; reports: {asked.out}/SET-UP/WAY/index.html")
    print(f"{through - worse} passed, {worse} failed")
    sys.exit(1 if worse or not through else 0)


def arguments():
    parser = argparse.ArgumentParser(prog="tests/autobahn/run", description=__doc__)
    parser.add_argument("--forwarding", choices=[*FORWARDERS, "both"], default="both")
    parser.add_argument("--cases", nargs="+", default=["*"], metavar="PATTERN", help="which cases; default: all")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where verdicts and the suite's own reports go")
    parser.add_argument("--python2", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    asked.out = asked.out.resolve()
    asked.out.mkdir(parents=True, exist_ok=True)
    return asked


def is_there(forwarding, needed):
    """Whether this binary can forward in that way. `verbatim` it always can, with the key or without."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "relay.toml"
        config.write_text(relay_config(9, "", forwarding))
        check = subprocess.run(
            [BINARY, "check", "--config", str(config)], env=ENVIRONMENT, capture_output=True, text=True
        )
    if check.returncode == 0:
        return True
    if needed or forwarding == "verbatim":
        sys.exit(f'this relay does not take forwarding = "{forwarding}":\n{check.stderr}')
    print(f'SKIPPED: this relay does not know forwarding = "{forwarding}" yet')
    return False


def verdicts_of(set_up, way, asked):
    """Runs all cases in one set-up; the verdict of each."""
    out = asked.out / set_up / way
    patience = {"openHandshakeTimeout": PATIENCE_SECONDS}
    spec = {"outdir": str(out), "cases": asked.cases, "exclude-cases": EXCLUDED, "options": patience}
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        if set_up == "server":
            port = running.enter_context(Server(asked.python2, "echo")).port
            url = f"ws://127.0.0.1:{port}/"
            if way != DIRECT:
                url = running.enter_context(Relay(folder, way, port, "")).url
            spec["servers"] = [{"agent": way, "url": url}]
            (folder / "spec.json").write_text(json.dumps(spec))
            judge = [str(Path(asked.python2).parent / "wstest"), "-m", "fuzzingclient", "-s", str(folder / "spec.json")]
        else:
            port = running.enter_context(Server(asked.python2, "fuzzing-server", json.dumps(spec))).port
            server = f"ws://127.0.0.1:{port}"
            through = f"{server}/runCase?"
            if way != DIRECT:
                through = running.enter_context(Relay(folder, way, port, "runCase")).url + "&"
            judge = [asked.python2, str(HERE / "peers.py"), "client", server, through, way, str(PATIENCE_SECONDS)]
        done = subprocess.run(
            judge, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=DEADLINE_SECONDS
        )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return verdicts.read(out / "index.json", way)


class Server(Process):
    """One of the peers that listen."""

    def __init__(self, python2, *arguments):
        super().__init__(str(HERE / "peers.py"), *arguments, program=python2, stdout=subprocess.PIPE)
        begin = "listening on "
        self.port = Output(self.child.stdout).wait_for(
            lambda lines: next((int(line[len(begin) :]) for line in lines if line.startswith(begin)), None), "port"
        )


class Relay(Process):
    """A relay in front of a peer, with limits that let the largest cases through (16 MiB)."""

    def __init__(self, folder, forwarding, port, path):
        config = folder / "relay.toml"
        config.write_text(relay_config(port, path, forwarding))
        super().__init__("serve", "--config", str(config), stderr=subprocess.PIPE)
        self.url = f"ws://127.0.0.1:{address_in(Output(self.child.stderr), 'clients connect to')}/v1/realtime?model=any"


def relay_config(port, path, forwarding):
    return f"""
[server]
listen = ["127.0.0.1:0"]
auth = "none"
{"" if forwarding == "verbatim" else f'forwarding = "{forwarding}"'}

[limits]
max_message_bytes = "24MiB"
dial_timeout = "{PATIENCE_SECONDS}s"
admission_timeout = "{PATIENCE_SECONDS}s"

[admin]
listen = "127.0.0.1:0"

[[upstreams]]
name = "autobahn"
kind = "compatible"
url = "ws://127.0.0.1:{port}/{path}?model={{model}}"
"""


if __name__ == "__main__":
    main()
