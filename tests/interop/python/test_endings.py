"""However the upstream ends it, the client is told, and in words that the library acts upon."""

import pytest
from conversation import MODEL, talk
from processes import records
from websockets.exceptions import ConnectionClosed


async def end_of(client):
    """Events up to the end of the connection, and how it ended."""
    events = []
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            events.append(await client.event())
    return events, closed.value


async def answered(client):
    """Has the upstream begin an answer, with which it will not come to an end."""
    await client.until("session.created")
    await client.connection.response.create()
    await client.until("response.created")


@pytest.mark.parametrize(
    ("model", "code", "ending"),
    [
        ("fault-drop", "upstream_connection_lost", "upstream_lost"),
        ("fault-masked-frame", "upstream_protocol_error", "upstream_protocol_error"),
        ("fault-huge", "upstream_message_too_big", "upstream_message_too_big"),
    ],
)
async def test_an_upstream_that_fails_in_an_answer_is_an_error_event_and_1011(relay, model, code, ending):
    async with talk(relay, model) as client:
        await answered(client)
        events, closed = await end_of(client)
    told = [event for event in events if event.type == "error"]
    assert events[-1:] == told
    assert (told[0].error.code, told[0].error.type) == (code, "upstream_error")
    assert closed.rcvd.code == 1011
    assert relay.record("link ended")["ending"] == ending


async def test_an_upstream_lost_between_two_fragments_is_1011_alone(relay):
    async with talk(relay, "fault-drop-mid-message") as client:
        await answered(client)
        events, closed = await end_of(client)
    # An event may not stand inside a message; a close frame may.
    assert all(event.type != "error" for event in events)
    assert closed.rcvd.code == 1011


async def test_an_upstream_lost_inside_a_frame_cuts_the_connection(relay):
    async with talk(relay, "fault-drop-mid-frame") as client:
        await answered(client)
        events, closed = await end_of(client)
    # Whatever was sent now would count as the rest of that frame.
    assert all(event.type != "error" for event in events)
    assert closed.rcvd is None


async def test_the_close_of_an_upstream_arrives_as_it_was_sent(relay):
    async with talk(relay, "fault-close-mid-response") as client:
        await answered(client)
        events, closed = await end_of(client)
    assert all(event.type != "error" for event in events)
    assert (closed.rcvd.code, closed.rcvd.reason) == (1001, "going away")
    ended = relay.record("link ended")
    assert (ended["ending"], ended["client_close"], ended["upstream_close"]) == ("upstream_close", 1001, 1001)


async def test_the_library_connects_again_after_an_upstream_was_lost(relay):
    codes = []

    def on_reconnecting(event):
        codes.append(event.close_code)
        return {"extra_query": {"model": MODEL}}

    options = {"on_reconnecting": on_reconnecting, "initial_delay": 0.01}
    async with talk(relay, "fault-drop", **options) as client:
        await answered(client)
        seen = []
        async for event in client.connection:
            seen.append(event.type)
            if event.type == "session.created":
                break
        assert (seen[-2:], codes) == (["error", "session.created"], [1011])
        (await client.say("Are you there?")).assert_whole()
    assert len(records(relay.finish(), "link opened")) == 2
