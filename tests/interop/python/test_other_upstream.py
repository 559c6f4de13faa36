"""An upstream of another make: the server of the `websockets` library, which is strict about RFC 6455.

Both its ends are that library here, so that each judges what the relay forwards to it.
"""

import json
import threading
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve

from processes import CLIENT_KEY, DEADLINE_SECONDS, UPSTREAM_KEY, Relay

CREATED = json.dumps({"type": "session.created", "event_id": "event_1", "session": {"type": "realtime"}})
MAX_SIZE = 8 << 20


@contextmanager
def upstream(handler, refuse=None):
    """Serves each leg with the handler, or refuses the request. Gives its port."""
    server = serve(
        handler, "127.0.0.1", 0, subprotocols=["realtime"], process_request=refuse, max_size=MAX_SIZE, compression=None
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()
        thread.join(DEADLINE_SECONDS)


@contextmanager
def link(folder, port):
    """A client behind a relay in front of that port."""
    with Relay(folder, port) as relay:
        with connect(
            f"{relay.base}/realtime?model=gpt-realtime",
            additional_headers={"Authorization": f"Bearer {CLIENT_KEY}"},
            subprotocols=["realtime"],
            max_size=MAX_SIZE,
            open_timeout=DEADLINE_SECONDS,
            proxy=None,
        ) as client:
            yield client


def echo(leg):
    assert leg.request.headers["Authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert leg.subprotocol == "realtime"
    leg.send(CREATED)
    for message in leg:
        leg.send(message)


def test_holds_a_session_with_every_kind_of_message(tmp_path):
    with upstream(echo) as port, link(tmp_path, port) as client:
        assert client.subprotocol == "realtime"
        assert client.recv(DEADLINE_SECONDS) == CREATED
        for message in ["hé", "", b"\x00\xff", b"", "x" * 125, "x" * 126, "x" * 65_535, "x" * 65_536, b"y" * (4 << 20)]:
            client.send(message)
            assert client.recv(DEADLINE_SECONDS) == message
        client.send(["a text ", "in three ", "fragments"])
        assert client.recv(DEADLINE_SECONDS) == "a text in three fragments"
        assert client.ping().wait(DEADLINE_SECONDS), "the upstream's pong comes back"


def test_tells_the_client_how_the_upstream_closed(tmp_path):
    def leave(leg):
        leg.send(CREATED)
        leg.close(4321, "enough is enough")

    with upstream(leave) as port, link(tmp_path, port) as client:
        assert client.recv(DEADLINE_SECONDS) == CREATED
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(DEADLINE_SECONDS)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4321, "enough is enough")


def test_tells_the_upstream_how_the_client_closed(tmp_path):
    told = []
    heard = threading.Event()

    def listen(leg):
        leg.send(CREATED)
        try:
            leg.recv(DEADLINE_SECONDS)
        except ConnectionClosed as closed:
            told.append((closed.rcvd.code, closed.rcvd.reason))
        heard.set()

    with upstream(listen) as port, link(tmp_path, port) as client:
        assert client.recv(DEADLINE_SECONDS) == CREATED
        client.close(4000, "thank you")
        assert heard.wait(DEADLINE_SECONDS)
        assert told == [(4000, "thank you")]


@pytest.mark.parametrize(
    ("status", "told", "code"),
    [(401, 502, "upstream_refused"), (429, 429, "upstream_rate_limited"), (503, 502, "upstream_refused")],
)
def test_tells_in_http_that_the_upstream_refused(tmp_path, status, told, code):
    def refuse(leg, request):
        return leg.respond(status, "no\n")

    with upstream(echo, refuse) as port, pytest.raises(InvalidStatus) as refused, link(tmp_path, port):
        pass
    response = refused.value.response
    assert response.status_code == told
    assert json.loads(response.body)["error"]["code"] == code
