"""A real client through a real HAProxy and a real nginx, with the files of deploy/, in front of two relays: a whole session,
whose address the relay sees, refusals as they are, and relays that drain.
"""

import asyncio
import signal
from contextlib import ExitStack

import proxies
import pytest
from conversation import library, soon, talk
from processes import Relay, records
from test_refusals import refusal

# Who connects to the proxy, and is to be seen by the relay.
CLIENT = "127.0.0.2"
FORGED = "203.0.113.9"

# By the name of the file: who starts it, and how its relays learn who connects.
FRONTS = {
    "haproxy.cfg": (proxies.HAPROXY, lambda *to: proxies.haproxy(to[0], "haproxy.cfg", to[1]), "proxy_protocol = true"),
    "haproxy-http.cfg": (proxies.HAPROXY, lambda *to: proxies.haproxy(to[0], "haproxy-http.cfg", to[1]), ""),
    "nginx.conf": (proxies.NGINX, proxies.nginx, ""),
}


class Front:
    """A proxy, and two relays behind it."""

    def __init__(self, proxy, relays):
        self.proxy, self.relays, self.base = proxy, relays, proxy.base

    def options(self, **headers):
        """Of the library: from an address that is not the proxy's, and with this proxy's certificate."""
        connection = {"ssl": self.proxy.trust, "local_addr": (CLIENT, 0)}
        return {"websocket_connection_options": connection, "extra_headers": headers}


@pytest.fixture(params=FRONTS)
def front(request, upstream, tmp_path):
    program, start, server = FRONTS[request.param]
    if program is None:
        pytest.skip(f"{request.param}: the program is not installed")
    with ExitStack() as running:
        relays = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            trusting = f'trusted_proxies = ["127.0.0.1/32"]\n{server}'
            relays.append(running.enter_context(Relay(folder, upstream.port, server=trusting, limits='drain_grace = "4s"')))
        proxy = running.enter_context(start(tmp_path, [relay.port for relay in relays]))
        yield Front(proxy, relays)


def seen(front, message):
    """All records with this message, of both relays, once both have stopped."""
    return [record for relay in front.relays for record in records(relay.finish(), message)]


def clients(logged):
    return {record["client"].rsplit(":", 1)[0] for record in logged}


async def test_a_session_is_served_and_the_relay_sees_whose_it_is(front):
    async with talk(front, **front.options()) as client:
        await client.until("session.created")
        (await client.say("What time is it?")).assert_whole()
        # The whole path answers.
        await soon(await client.socket.ping(b"interop"))
    (ended,) = seen(front, "link ended")
    assert ended["ending"] == "client_close" and clients([ended]) == {CLIENT}


async def test_what_a_client_says_of_its_address_is_not_believed(front):
    forged = {"X-Forwarded-For": FORGED, "Forwarded": f"for={FORGED}"}
    async with talk(front, **front.options(**forged)) as client:
        await client.until("session.created")
    assert clients(seen(front, "link ended")) == {CLIENT}


async def test_a_refusal_arrives_as_it_is(front):
    response, error = await refusal(front, key="sk-stranger", connect=front.options())
    assert (response.status_code, error["code"]) == (401, "invalid_api_key")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    logged = seen(front, "refused")
    assert [record["status"] for record in logged] == [401] and clients(logged) == {CLIENT}


async def test_a_relay_that_drains_gets_no_new_client_and_no_link_is_cut(front):
    async with talk(front, **front.options()) as client:
        await client.until("session.created")
        draining = await soon(that_opened(front.relays))
        staying = next(relay for relay in front.relays if relay is not draining)
        draining.child.send_signal(signal.SIGTERM)
        # It goes on serving until load balancers have noticed; then it accepts nobody.
        draining.output.wait_for(lambda lines: True if any("no new clients" in line for line in lines) else None, "drain")
        for _ in range(4):
            async with talk(front, **front.options()) as another:
                await another.until("session.created")
        staying.output.wait_for(lambda lines: True if len(records(lines, "link opened")) == 4 else None, "four links")
        (await client.say("Are you still there?")).assert_whole()
    assert draining.child.wait(15) == 0


async def that_opened(relays):
    """The relay that a link went to, as soon as its log says so, which may be after the client has it."""
    while True:
        for relay in relays:
            if records(relay.output.lines, "link opened"):
                return relay
        await asyncio.sleep(0)


async def test_an_untrusted_peer_cannot_say_who_it_is(upstream, tmp_path):
    with Relay(tmp_path, upstream.port, server='trusted_proxies = ["127.0.0.1/32"]') as relay:
        options = {"websocket_connection_options": {"local_addr": (CLIENT, 0)}}
        headers = {"X-Forwarded-For": FORGED, "Forwarded": f"for={FORGED}"}
        async with talk(relay, extra_headers=headers, **options) as client:
            await client.until("session.created")
        assert clients(records(relay.finish(), "link ended")) == {CLIENT}
