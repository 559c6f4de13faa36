"""What every test has: a simulated upstream, a relay in front of it, and the library as its users set it up.

It refuses to know what a test claims, but for one thing that holds in all of them: a log tells no key.
"""

import json
import os

import pytest

# The client talks to loopback: a proxy that this machine may have is not meant. Set before a library reads it.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"

from processes import CLIENT_KEY, UPSTREAM_KEY, Relay, Simulator


@pytest.fixture
def upstream():
    """A simulated upstream."""
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def relay(upstream, tmp_path):
    """A relay in front of it. When the test is over, it stops in order, and its log is looked through."""
    with Relay(tmp_path, upstream.port) as relay:
        yield relay
        if relay.child.poll() is None:
            relay.finish()
        assert_clean(relay.output.rest())


def assert_clean(log):
    """Every line is a record, and no record holds a key or a panic."""
    assert log
    for line in log:
        json.loads(line)
        assert UPSTREAM_KEY not in line and CLIENT_KEY not in line and "panicked" not in line, line
