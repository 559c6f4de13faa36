"""HAProxy and nginx in front of relays, each with the very file that is shipped in deploy/: only ports and paths differ.

It refuses to know clients, and what is claimed.
"""

import datetime
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
from contextlib import closing
from pathlib import Path

from processes import DEADLINE_SECONDS, Output

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def free_port():
    """A port of 127.0.0.1 that nobody has. Neither program tells which one the system would choose."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy:
    """A proxy that serves `wss` with a certificate of its own."""

    def __init__(self, folder: Path, command, environment, port):
        self.port = port
        self.folder = folder
        self.child = subprocess.Popen(
            command, env=os.environ | environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.output = Output(self.child.stderr)
        self._await()

    @property
    def base(self):
        """What the library calls `websocket_base_url`."""
        return f"wss://127.0.0.1:{self.port}/v1"

    @property
    def trust(self):
        """Takes its certificate, and no other."""
        return ssl.create_default_context(cafile=self.folder / "cert.pem")

    def _await(self):
        """Until it accepts: neither says so."""
        end = datetime.datetime.now() + datetime.timedelta(seconds=DEADLINE_SECONDS)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), DEADLINE_SECONDS).close()
                return
            except ConnectionRefusedError:
                assert self.child.poll() is None, self.output.rest()
                assert datetime.datetime.now() < end, self.output.lines

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def haproxy(folder, file, relays):
    """HAProxy with deploy/haproxy/<file> before two relays."""
    key, certificate = certify(folder)
    both = folder / "both.pem"
    both.write_text(key.read_text() + certificate.read_text())
    port = free_port()
    environment = {"FRONT": f"127.0.0.1:{port}", "FRONT_CERT": str(both), "MAXCONN": "100"}
    environment |= {f"RELAY_{number}": f"127.0.0.1:{relay}" for number, relay in enumerate(relays, 1)}
    return Proxy(folder, [HAPROXY, "-db", "-f", DEPLOY / "haproxy" / file], environment, port)


def nginx(folder, relays):
    """nginx with deploy/nginx/nginx.conf before two relays."""
    key, certificate = certify(folder)
    port = free_port()
    text = (DEPLOY / "nginx" / "nginx.conf").read_text()
    places = {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "server 127.0.0.1:8080 ": f"server 127.0.0.1:{relays[0]} ",
        "server 127.0.0.1:8081 ": f"server 127.0.0.1:{relays[1]} ",
        "/etc/nginx/relay.crt": str(certificate),
        "/etc/nginx/relay.key": str(key),
        "/run/nginx.pid": str(folder / "nginx.pid"),
        "/var/log/nginx/error.log": "stderr",
        "/var/log/nginx/access.log": str(folder / "access.log"),
        "user www-data;": "" if os.geteuid() else "user root;",
    }
    for shipped, here in places.items():
        assert text.count(shipped) == 1, f"{shipped} is to stand once in nginx.conf"
        text = text.replace(shipped, here)
    file = folder / "nginx.conf"
    file.write_text(text)
    return Proxy(folder, [NGINX, "-p", folder, "-c", file, "-e", "stderr", "-g", "daemon off;"], {}, port)


def certify(folder):
    """A key and a certificate for 127.0.0.1, as files."""
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        + ["-subj", "/CN=relay", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    return key, certificate


def states(proxy):
    """What HAProxy has said of its servers: the last state of each that it has reported."""
    found = (re.search(r"Server relays/(\w+) is (UP|DOWN)", line) for line in proxy.output.lines)
    return {state[1]: state[2] for state in found if state}
