"""The library at work: connections, and what is said over them.

It refuses to know who is at the other end: relay and upstream are talked to in the same words.
"""

import asyncio
import base64
import json
import math
from contextlib import asynccontextmanager

from openai import AsyncOpenAI
from processes import CLIENT_KEY

# Answers take a fraction of a second at the pace of these tests.
DEADLINE_SECONDS = 15

MODEL = "gpt-realtime"

# pcm16 at 24 kHz: the Realtime API's default.
BYTES_PER_MS = 48


@asynccontextmanager
async def library(peer, key=CLIENT_KEY):
    """The client, set up for this peer."""
    async with AsyncOpenAI(api_key=key, websocket_base_url=peer.base, base_url="http://127.0.0.1:9") as client:
        yield client


@asynccontextmanager
async def talk(peer, model=MODEL, key=CLIENT_KEY, **options):
    """A connection, and its end."""
    async with library(peer, key) as client:
        manager = client.realtime.connect(model=model, **options)
        connection = await soon(manager.enter())
        try:
            yield Talk(connection)
        finally:
            await soon(connection.close())


async def soon(awaitable):
    """Its result, before the deadline."""
    return await asyncio.wait_for(awaitable, DEADLINE_SECONDS)


class Talk:
    """A connection, with every message that it has received."""

    def __init__(self, connection):
        self.connection = connection
        self.raw = []
        self.events = []

    @property
    def socket(self):
        """The websockets connection that the library holds; it says how the closing handshake went."""
        return self.connection._connection

    async def event(self):
        """The next event, typed by the library."""
        self.raw.append(await soon(self.connection.recv_bytes()))
        self.events.append(self.connection.parse_event(self.raw[-1]))
        return self.events[-1]

    async def until(self, kind):
        """Events up to the first of this type."""
        events = [await self.event()]
        while events[-1].type != kind:
            assert events[-1].type != "error", events[-1]
            events.append(await self.event())
        return events

    async def update(self, **session):
        """Changes the session."""
        await self.connection.session.update(session={"type": "realtime", **session})
        return (await self.until("session.updated"))[-1].session

    async def listen_by_hand(self):
        """No turn detection: audio is committed by the client."""
        return await self.update(audio={"input": {"turn_detection": None}})

    async def say(self, text):
        """A turn in text, and the answer to it."""
        content = [{"type": "input_text", "text": text}]
        await self.connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        await self.connection.response.create()
        return await self.answer()

    async def answer(self):
        """A whole answer. The rate limits follow `response.done` at once, so nothing is left on its way."""
        return Answer(await self.until("rate_limits.updated"))

    async def append(self, pcm):
        """Audio, as one message."""
        await self.connection.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())

    async def speak(self, pcm, step_ms=100):
        """Audio, in steps."""
        for begin in range(0, len(pcm), step_ms * BYTES_PER_MS):
            await self.append(pcm[begin : begin + step_ms * BYTES_PER_MS])


class Answer:
    """The events of one response, put together."""

    def __init__(self, events):
        self.events = events
        self.response = self.one("response.done").response
        self.usage = self.response.usage

    def one(self, kind):
        """The only event of this type."""
        (event,) = [event for event in self.events if event.type == kind]
        return event

    def joined(self, kind):
        """The deltas of this type."""
        return [event.delta for event in self.events if event.type == kind]

    @property
    def words(self):
        return "".join(self.joined("response.output_audio_transcript.delta"))

    @property
    def audio(self):
        return b"".join(map(base64.b64decode, self.joined("response.output_audio.delta")))

    def assert_whole(self):
        """What came piece by piece is what the last events say has come."""
        assert self.response.status == "completed"
        assert self.words and self.words == self.one("response.output_audio_transcript.done").transcript
        # A token of audio is 50 ms spoken.
        spoken_ms = len(self.audio) / BYTES_PER_MS
        assert spoken_ms > 0 and math.ceil(spoken_ms / 50) == self.usage.output_token_details.audio_tokens
        assert self.usage.total_tokens == self.usage.input_tokens + self.usage.output_tokens


def tone(ms, level=8_000):
    """A voice, as far as turn detection is concerned."""
    samples = (int(level * math.sin(sample / 8)) for sample in range(ms * BYTES_PER_MS // 2))
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


def silence(ms):
    return bytes(ms * BYTES_PER_MS)


def binary(event):
    """An event as the payload of a binary frame."""
    return json.dumps(event).encode()
