// openai-agents in Node: a RealtimeSession over its WebSocket transport.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession } from '@openai/agents-realtime';
import { assertTold, assertWhole, DRAIN_AT_ONCE, Events } from './support/conversation.mjs';
import { CLIENT_KEY, MODEL, relay as startRelay, soon, STRANGER } from './support/processes.mjs';

test('openai-agents holds a session', async (t) => {
  const relay = await startRelay(t);
  const agent = session();
  await connect(agent, relay);
  // The library has said what it wants of the session before anything else.
  const { session: agreed } = await agent.events.first('session.updated');
  assert.match(agreed.instructions, /You tell the time\./);
  agent.sendMessage('What time is it?');
  await agent.events.first('response.done');
  await agent.historyOf('assistant');
  agent.close();
  await assertWhole(agent.events.seen, relay);
  assert.deepEqual(agent.errors, []);
});

test('openai-agents hears audio, and is heard', async (t) => {
  const relay = await startRelay(t);
  const agent = session();
  await connect(agent, relay);
  await agent.events.first('session.updated');
  const heard = [];
  agent.on('audio', ({ data }) => heard.push(data.byteLength));
  agent.sendAudio(new ArrayBuffer(48_000), { commit: true });
  await agent.events.first('input_audio_buffer.committed');
  agent.transport.requestResponse();
  const { response } = await agent.events.first('response.done');
  agent.close();
  assert.ok(heard.reduce((sum, bytes) => sum + bytes, 0) > 0);
  const [row] = await relay.usage();
  assert.equal(row.input_audio, response.usage.input_token_details.audio_tokens);
  assert.ok(row.input_audio > 0 && row.output_audio > 0);
});

test('openai-agents fails to connect where its key is unknown', async (t) => {
  const relay = await startRelay(t);
  const agent = session();
  // What it throws is no error, but the event of the socket below it.
  await assert.rejects(connect(agent, relay, STRANGER), ({ type, message }) => {
    assert.deepEqual([type, message], ['error', 'Unexpected server response: 401']);
    return true;
  });
  assert.equal(agent.transport.status, 'disconnected');
  assert.deepEqual(agent.events.seen, []);
  assert.equal((await relay.record('refused')).code, 'invalid_api_key');
});

for (const [what, code, close, options, end] of [
  ['an operator ends its link', 'ended_by_operator', 1008, {}, (relay) => relay.endLink()],
  ['the relay restarts', 'relay_restarting', 1012, DRAIN_AT_ONCE, (relay) => relay.admin('POST', '/drain')],
]) {
  test(`openai-agents is told that ${what}`, async (t) => {
    const relay = await startRelay(t, options);
    const agent = session();
    await connect(agent, relay);
    await agent.events.first('session.updated');
    const socket = agent.transport.connectionState.websocket;
    const closed = new Promise((resolve) => socket.addEventListener('close', resolve));
    await end(relay);
    // The library shows the event, and that the connection is gone; the code only the socket below it has.
    assert.equal((await soon(closed, () => 'the close')).code, close);
    assertTold(agent.events.seen, code);
    assert.equal(agent.errors[0].error.error.code, code);
    assert.equal(agent.transport.status, 'disconnected');
  });
}

function session() {
  const agent = new RealtimeAgent({ name: 'clock', instructions: 'You tell the time.' });
  const session = new RealtimeSession(agent, { transport: new OpenAIRealtimeWebSocket(), model: MODEL, tracingDisabled: true });
  session.events = new Events();
  session.errors = [];
  session.on('transport_event', (event) => session.events.push(event));
  session.on('error', (error) => session.errors.push(error));
  session.historyOf = (role) => {
    const said = new Promise((resolve) => {
      const look = (history) => history.some((item) => item.role === role && item.status === 'completed') && resolve();
      session.on('history_updated', look);
      look(session.history);
    });
    return soon(said, () => `an item of ${role} in ${JSON.stringify(session.history)}`);
  };
  return session;
}

function connect(agent, relay, apiKey = CLIENT_KEY) {
  return soon(agent.connect({ apiKey, url: `${relay.url}?model=${MODEL}` }), () => 'a connection');
}
