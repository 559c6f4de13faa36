"""The log says what the client saw: one record for each response, and the life of each link."""

from conversation import MODEL, silence, talk, tone
from processes import records


def counted(usage):
    """The tokens of a `response.done`, in the words of the log."""
    heard, said = usage.input_token_details, usage.output_token_details
    cached = heard.cached_tokens_details
    return {
        "input_text": heard.text_tokens,
        "input_audio": heard.audio_tokens,
        "input_image": heard.image_tokens,
        "cached_text": cached.text_tokens,
        "cached_audio": cached.audio_tokens,
        "cached_image": cached.image_tokens,
        "output_text": said.text_tokens,
        "output_audio": said.audio_tokens,
    }


async def test_there_is_one_usage_record_for_each_response_with_the_tokens_that_the_client_saw(relay):
    async with talk(relay) as client:
        await client.until("session.created")
        answers = [await client.say("What time is it?"), await client.say("And the weather?")]
        await client.update(audio={"input": {"turn_detection": {"type": "server_vad"}}})
        await client.append(tone(700) + silence(1_200))
        await client.until("input_audio_buffer.speech_stopped")
        answers.append(await client.answer())
        await client.connection.response.create()
        await client.until("response.created")
        await client.connection.response.cancel()
        answers.append(await client.answer())
    relay.record("link ended")
    usage = records(relay.finish(), "usage")
    assert [record["response_id"] for record in usage] == [answer.response.id for answer in answers]
    assert [record["status"] for record in usage] == ["completed"] * 3 + ["cancelled"]
    for record, answer in zip(usage, answers):
        assert {name: record[name] for name in counted(answer.usage)} == counted(answer.usage)
    assert usage[1]["cached_text"] > 0 and usage[2]["input_audio"] > 0


async def test_a_link_is_recorded_when_it_opens_and_when_it_ends(relay):
    async with talk(relay, extra_headers={"X-Request-Id": "interop-1"}) as client:
        assert client.socket.response.headers["X-Request-Id"] == "interop-1"
        await client.until("session.created")
        await client.say("What time is it?")
        received = len(client.raw)
    relay.record("link ended")
    log = relay.finish()
    (opened,), (ended,) = records(log, "link opened"), records(log, "link ended")
    for record in (opened, ended):
        assert (record["request_id"], record["key"], record["upstream"]) == ("interop-1", "interop", "simulated")
        assert (record["model_asked"], record["model_sent"]) == (MODEL, MODEL)
        assert record["link_id"] == opened["link_id"]
    # Every event is a frame here, and so are the close frames, but for the answer that the relay itself gives to a client
    # that leaves within a second of its last words.
    assert ended["frames_up"] == 2 + 1
    assert ended["frames_down"] in (received, received + 1)
    assert ended["bytes_down"] > sum(map(len, client.raw))
