"""openai-python holds conversations through the relay, and cannot tell it from the upstream."""

import asyncio
import base64
import math

import pytest
from conversation import BYTES_PER_MS, MODEL, binary, silence, soon, talk, tone
from openai import AsyncAzureOpenAI, OpenAI
from processes import CLIENT_KEY, UPSTREAM_KEY, Simulator

QUESTION = "What time is it?"


async def test_a_session_is_created_and_updated(relay):
    async with talk(relay) as client:
        created = await client.event()
        assert (created.type, created.session.model) == ("session.created", MODEL)
        session = await client.update(instructions="Be brief.", audio={"output": {"voice": "marin"}})
        assert (session.id, session.instructions) == (created.session.id, "Be brief.")
        assert session.audio.output.voice == "marin"


async def test_a_turn_in_text_is_answered_whole(relay):
    async with talk(relay) as client:
        await client.until("session.created")
        answer = await client.say(QUESTION)
        answer.assert_whole()
        assert answer.usage.input_token_details.text_tokens > 0


async def test_a_turn_in_audio_that_the_client_commits_is_answered_whole(relay):
    async with talk(relay) as client:
        await client.until("session.created")
        await client.listen_by_hand()
        await client.speak(tone(1_000))
        await client.connection.input_audio_buffer.commit()
        await client.until("input_audio_buffer.committed")
        await client.connection.response.create()
        answer = await client.answer()
        answer.assert_whole()
        # A token of audio is 100 ms heard.
        assert answer.usage.input_token_details.audio_tokens == 10


async def test_a_turn_in_audio_that_the_upstream_detects_is_answered_whole(relay):
    async with talk(relay) as client:
        await client.until("session.created")
        await client.update(audio={"input": {"turn_detection": {"type": "server_vad"}}})
        await client.speak(tone(600) + silence(1_200))
        await client.until("input_audio_buffer.speech_stopped")
        (await client.answer()).assert_whole()


async def test_a_response_is_cancelled_by_the_client(relay):
    async with talk(relay) as client:
        await client.until("session.created")
        await client.connection.response.create(response={"instructions": "Count to one hundred."})
        await client.until("response.created")
        await client.connection.response.cancel()
        assert (await client.answer()).response.status == "cancelled"


async def converse(peer, key, model):
    """Every kind of turn, each after the answer to the one before. All messages that came, as bytes."""
    async with talk(peer, model, key) as client:
        await client.until("session.created")
        await client.update(instructions="Ä, ö, 話, 🎙: be brief.")
        await client.say(QUESTION)
        await client.listen_by_hand()
        await client.append(tone(500))
        await client.connection.input_audio_buffer.commit()
        await client.until("input_audio_buffer.committed")
        await client.connection.response.create()
        await client.answer()
        await client.update(audio={"input": {"turn_detection": {"type": "server_vad"}}})
        await client.append(tone(600) + silence(1_200))
        await client.until("input_audio_buffer.speech_stopped")
        await client.answer()
        await client.connection.send({"type": "no.such.event", "event_id": "mine"})
        refused = await client.event()
        assert (refused.type, refused.error.event_id) == ("error", "mine")
        return client.raw


@pytest.mark.parametrize(
    "model", [MODEL, "fault-fragments", "fault-type-last", "fault-ping-first", "fault-early-bytes"]
)
async def test_a_conversation_is_the_same_byte_for_byte_with_and_without_the_relay(relay, model):
    through_relay = await converse(relay, CLIENT_KEY, model)
    with Simulator() as direct:
        without = await converse(direct, UPSTREAM_KEY, model)
    assert len(without) > 100 and through_relay == without


async def test_binary_frames_pass(relay):
    async with talk(relay) as client:
        await client.until("session.created")
        await client.listen_by_hand()
        audio = base64.b64encode(tone(700)).decode()
        await client.connection.send_raw(binary({"type": "input_audio_buffer.append", "audio": audio}))
        await client.connection.send_raw(binary({"type": "input_audio_buffer.commit"}))
        await client.until("input_audio_buffer.committed")
        await client.connection.send_raw(binary({"type": "response.create"}))
        assert (await client.answer()).usage.input_token_details.audio_tokens == 7


async def test_an_append_of_900_kib_arrives_whole(relay):
    pcm = tone(900 * 1024 * 3 // 4 // BYTES_PER_MS)
    async with talk(relay) as client:
        await client.until("session.created")
        await client.listen_by_hand()
        await client.append(pcm)
        await client.connection.input_audio_buffer.commit()
        await client.until("input_audio_buffer.committed")
        await client.connection.response.create()
        heard_ms = len(pcm) / BYTES_PER_MS
        assert (await client.answer()).usage.input_token_details.audio_tokens == math.ceil(heard_ms / 100)


async def test_a_client_that_offers_compression_is_served_without_it(relay):
    options = {"compression": "deflate", "max_size": 1 << 20}
    async with talk(relay, websocket_connection_options=options) as client:
        await client.until("session.created")
        assert "permessage-deflate" in client.socket.request.headers["Sec-WebSocket-Extensions"]
        assert "Sec-WebSocket-Extensions" not in client.socket.response.headers
        (await client.say(QUESTION)).assert_whole()


async def test_a_ping_of_the_client_is_answered(relay):
    async with talk(relay) as client:
        await client.until("session.created")
        answered = await client.socket.ping(b"interop")
        assert await soon(answered) >= 0


async def test_the_client_closes_and_both_sides_say_1000(relay):
    async with talk(relay) as client:
        await client.until("session.created")
        await soon(client.connection.close())
        state = client.socket.protocol
        assert (state.close_sent.code, state.close_rcvd.code) == (1000, 1000)
    ended = relay.record("link ended")
    assert (ended["ending"], ended["client_close"], ended["upstream_close"]) == ("client_close", 1000, 1000)


def test_the_blocking_client_is_served_too(relay):
    with OpenAI(api_key=CLIENT_KEY, websocket_base_url=relay.base) as client:
        with client.realtime.connect(model=MODEL) as connection:
            assert connection.recv().type == "session.created"
            connection.response.create(response={"output_modalities": ["text"]})
            kinds = iter(lambda: connection.recv().type, "response.done")
            assert "response.output_text.delta" in list(kinds)


async def test_a_client_set_up_for_azure_is_served_too(relay):
    base = relay.base.replace("/v1", "/openai")
    options = {"api_version": "2025-04-01-preview", "azure_endpoint": "http://127.0.0.1:9"}
    async with AsyncAzureOpenAI(api_key=CLIENT_KEY, websocket_base_url=base, **options) as client:
        connection = await soon(client.realtime.connect(model=MODEL).enter())
        try:
            created = await soon(connection.recv())
            assert (created.type, created.session.model) == ("session.created", MODEL)
        finally:
            await soon(connection.close())


async def test_many_clients_at_once_get_their_own_answers(relay):
    async def ask(number):
        async with talk(relay) as client:
            await client.until("session.created")
            return (await client.say(f"I am number {number}.")).words

    answers = await soon(asyncio.gather(*map(ask, range(20))))
    assert [f"number {number}." in words for number, words in enumerate(answers)] == [True] * 20
