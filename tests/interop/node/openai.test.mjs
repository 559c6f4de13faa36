// openai-node: its client over the `ws` library, and the one over the WebSocket that Node or a browser has.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { OpenAI } from 'openai';
import { OpenAIRealtimeWebSocket } from 'openai/realtime/websocket';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import { WebSocketServer } from 'ws';
import { assertTold, assertWhole, DRAIN_AT_ONCE, Events, TURN } from './support/conversation.mjs';
import { CLIENT_KEY, MODEL, relay as startRelay, soon, STRANGER, UPSTREAM_KEY } from './support/processes.mjs';

const CLIENTS = [
  ['over ws', OpenAIRealtimeWS],
  ['over the WebSocket of Node', OpenAIRealtimeWebSocket],
];

for (const [name, Client] of CLIENTS) {
  test(`openai-node ${name} holds a session`, async (t) => {
    const relay = await startRelay(t);
    const client = connect(Client, relay);
    await client.events.first('session.created');
    TURN.forEach((event) => client.send(event));
    await client.events.first('response.done');
    client.close();
    // The relay answers itself with the same code where a response may still be under way.
    assert.equal((await client.end()).code, 1000);
    await assertWhole(client.events.seen, relay);
    assert.deepEqual(client.errors, []);
  });

  test(`openai-node ${name} is told who ended its link`, async (t) => {
    const relay = await startRelay(t);
    const client = connect(Client, relay);
    await client.events.first('session.created');
    await relay.endLink();
    assert.equal((await client.end()).code, 1008);
    assertTold(client.events.seen, 'ended_by_operator');
    const [error] = client.errors;
    assert.equal(error.error.code, 'ended_by_operator');
    assert.equal((await relay.record('link ended')).ending, 'ended_by_operator');
  });

  test(`openai-node ${name} is told that the relay restarts`, async (t) => {
    const relay = await startRelay(t, DRAIN_AT_ONCE);
    const client = connect(Client, relay);
    await client.events.first('session.created');
    await relay.admin('POST', '/drain');
    assert.equal((await client.end()).code, 1012);
    assertTold(client.events.seen, 'relay_restarting');
  });

  test(`openai-node ${name} fails where its key is unknown`, async (t) => {
    const relay = await startRelay(t);
    const client = connect(Client, relay, { apiKey: STRANGER });
    // That of Node tells no close here before Node 22, but always the error.
    await client.told('error');
    if (Client === OpenAIRealtimeWS) assert.equal((await client.end()).code, 1006);
    assert.equal(client.events.seen.length, 0);
    assert.equal(client.errors.length, 1);
    // Only `ws` shows what the answer was.
    const shown = client.errors[0].message;
    assert.equal(/Unexpected server response: 401/.test(shown), Client === OpenAIRealtimeWS, shown);
    const { status, code: why } = await relay.record('refused');
    assert.deepEqual([status, why], [401, 'invalid_api_key']);
  });
}

test('openai-node sends its key in a header over ws, and in a subprotocol otherwise; neither goes upstream', async (t) => {
  const upstream = await recording(t);
  const relay = await startRelay(t, { upstream: upstream.url });
  // Over the WebSocket of Node these two are subprotocols as well.
  const of = { organization: 'org-of-acme', project: 'project-of-acme' };
  for (const [Client, selected] of [
    [OpenAIRealtimeWS, ''],
    [OpenAIRealtimeWebSocket, 'realtime'],
  ]) {
    const client = connect(Client, relay, of);
    await client.events.first('session.created');
    assert.equal(client.socket.protocol, selected);
    client.close();
    await client.end();
    const headers = upstream.requests.pop();
    assert.equal(headers.authorization, `Bearer ${UPSTREAM_KEY}`);
    assert.equal(headers['sec-websocket-protocol'], 'realtime');
    for (const kept of [CLIENT_KEY, ...Object.values(of)]) assert.ok(!JSON.stringify(headers).includes(kept), kept);
  }
});

test('openai-node connects again by itself when its upstream was lost', async (t) => {
  const relay = await startRelay(t);
  const client = connect(OpenAIRealtimeWS, relay, { ...RECONNECT, model: 'fault-drop' });
  await client.events.first('session.created');
  client.send({ type: 'response.create' });
  await client.told('reconnected');
  assertTold(client.events.seen, 'upstream_connection_lost');
  assert.deepEqual(client.reconnects.map(({ closeCode }) => closeCode), [1011]);
  client.events.seen.length = 0;
  await client.events.first('session.created');
  client.close();
  await client.told('close');
});

test('openai-node stays away when it was refused, and when an operator ended its link', async (t) => {
  const relay = await startRelay(t);
  const refused = connect(OpenAIRealtimeWS, relay, { apiKey: STRANGER, ...RECONNECT });
  await refused.told('close');
  const client = connect(OpenAIRealtimeWS, relay, RECONNECT);
  await client.events.first('session.created');
  await relay.endLink();
  await client.told('close');
  assertTold(client.events.seen, 'ended_by_operator');
  assert.deepEqual([refused.reconnects, client.reconnects], [[], []]);
});

const RECONNECT = { reconnect: true, reconnectInitialDelay: 10 };

/** A client, with what it was told. */
function connect(Client, relay, { apiKey = CLIENT_KEY, organization, project, ...options } = {}) {
  const baseURL = relay.url.replace('wss:', 'https:').replace('/realtime', '');
  const client = new Client({ model: MODEL, ...options }, new OpenAI({ apiKey, organization, project, baseURL }));
  client.events = new Events();
  client.errors = [];
  client.reconnects = [];
  client.on('event', (event) => client.events.push(event));
  client.on('error', (error) => client.errors.push(error));
  client.on('reconnecting', (event) => client.reconnects.push(event));
  const seen = () => client.events.seen.map((event) => event.type);
  const closed = new Promise((resolve) => client.socket.addEventListener('close', resolve));
  client.end = () => soon(closed, () => `the end, after ${seen()}`);
  const happened = Object.fromEntries(
    ['reconnected', 'close', 'error'].map((name) => [name, new Promise((resolve) => client.on(name, resolve))]),
  );
  client.told = (name) => soon(happened[name], () => `${name}, after ${seen()}`);
  return client;
}

/** An upstream that keeps the headers of each request, and begins a session. */
async function recording(t) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  const requests = [];
  server.on('connection', (socket, request) => {
    requests.push(request.headers);
    socket.send(JSON.stringify({ type: 'session.created', event_id: 'event_1', session: { type: 'realtime' } }));
  });
  await once(server, 'listening');
  t.after(() => server.close());
  return { requests, url: `ws://127.0.0.1:${server.address().port}/v1/realtime` };
}
