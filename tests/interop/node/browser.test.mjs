// Chromium, from a page: WebSocket as it is, and two libraries on top of it. The key goes in a subprotocol.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { absent, open } from './support/browser.mjs';
import { assertTold, assertWhole, DRAIN_AT_ONCE, TURN } from './support/conversation.mjs';
import { CLIENT_KEY, MODEL, relay as startRelay, soon, STRANGER } from './support/processes.mjs';

const AS_EVENTS = { server: 'refuse_browsers_with = "event"' };

let browser;
before(async () => {
  if (!absent) browser = await open();
});
after(() => browser?.close());

function inBrowser(name, claim) {
  test(`a browser ${name}`, { skip: absent }, claim);
}

inBrowser('holds a session', async (t) => {
  const relay = await startRelay(t);
  const seen = await talk(relay, { say: TURN, until: 'response.done', leave: [4321, 'enough'] });
  assert.deepEqual([seen.protocol, seen.extensions], ['realtime', '']);
  await assertWhole(seen.events, relay);
  // The code is its own, as it should be: the other side answers with the same.
  assert.deepEqual([seen.code, seen.clean], [4321, true]);
});

inBrowser('sees 1006 where its key is unknown, for it cannot read an answer in HTTP', async (t) => {
  const relay = await startRelay(t);
  const seen = await talk(relay, { key: STRANGER });
  assert.deepEqual([seen.code, seen.clean, seen.opened, seen.events], [1006, false, false, []]);
  assert.equal((await relay.record('refused')).code, 'invalid_api_key');
});

inBrowser('sees an error event and 4401 where its key is unknown and refusals are events', async (t) => {
  const relay = await startRelay(t, AS_EVENTS);
  const seen = await talk(relay, { key: STRANGER });
  assert.deepEqual([seen.code, seen.clean, seen.protocol], [4401, true, 'realtime']);
  assertTold(seen.events, 'invalid_api_key');
});

inBrowser('sees an error event and 4400 where it names no model and refusals are events', async (t) => {
  const relay = await startRelay(t, AS_EVENTS);
  const seen = await talk(relay, { query: '' });
  assert.equal(seen.code, 4400);
  assertTold(seen.events, 'missing_model');
});

inBrowser('sees 1006 from a page that may not connect, even where refusals are events', async (t) => {
  const relay = await startRelay(t, { server: `${AS_EVENTS.server}\nallowed_origins = ["https://app.example"]` });
  const seen = await talk(relay);
  assert.deepEqual([seen.code, seen.events], [1006, []]);
  assert.equal((await relay.record('refused')).code, 'origin_not_allowed');
});

inBrowser('connects from a page that is allowed to', async (t) => {
  const relay = await startRelay(t, { server: `allowed_origins = ["${browser.origin}"]` });
  const seen = await talk(relay, { until: 'session.created', leave: [1000, ''] });
  assert.equal(seen.code, 1000);
});

inBrowser('is told who ended its link', async (t) => {
  const relay = await startRelay(t);
  const talking = talk(relay);
  await relay.record('link opened');
  await relay.endLink();
  const seen = await talking;
  assert.deepEqual([seen.code, seen.clean], [1008, true]);
  assertTold(seen.events, 'ended_by_operator');
});

inBrowser('is told that the relay restarts', async (t) => {
  const relay = await startRelay(t, DRAIN_AT_ONCE);
  const talking = talk(relay);
  await relay.record('link opened');
  await relay.admin('POST', '/drain');
  const seen = await talking;
  assert.deepEqual([seen.code, seen.clean], [1012, true]);
  assertTold(seen.events, 'relay_restarting');
});

inBrowser('holds a session with openai-node', async (t) => {
  const relay = await startRelay(t);
  const events = await inPage(async ({ url, key, model, turn }) => {
    const [{ OpenAI }, { OpenAIRealtimeWebSocket }] = await Promise.all([
      import('/modules/openai/index.mjs'),
      import('/modules/openai/realtime/websocket.mjs'),
    ]);
    const baseURL = url.replace('wss:', 'https:').replace('/realtime', '');
    const client = new OpenAIRealtimeWebSocket({ model }, new OpenAI({ apiKey: key, baseURL, dangerouslyAllowBrowser: true }));
    const events = [];
    return new Promise((resolve, reject) => {
      client.on('error', reject);
      client.on('event', (event) => events.push(event));
      client.on('session.created', () => turn.forEach((event) => client.send(event)));
      client.on('response.done', () => client.close());
      client.socket.addEventListener('close', () => resolve(events));
    });
  }, relay);
  await assertWhole(events, relay);
});

inBrowser('holds a session with openai-agents', async (t) => {
  const relay = await startRelay(t);
  const { events, errors } = await inPage(agent, relay);
  await assertWhole(events, relay);
  assert.deepEqual(errors, []);
});

inBrowser('is told why its key is refused with openai-agents, where refusals are events', async (t) => {
  const relay = await startRelay(t, AS_EVENTS);
  const { events, errors } = await inPage(agent, relay, { key: STRANGER });
  assertTold(events, 'invalid_api_key');
  assert.deepEqual(errors, ['invalid_api_key']);
});

/** A turn with openai-agents, or its end before; runs in the page. */
async function agent({ url, key, model }) {
  const { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession } = await import(
    '/modules/@openai/agents-realtime/dist/bundle/openai-realtime-agents.mjs'
  );
  const clock = new RealtimeAgent({ name: 'clock', instructions: 'You tell the time.' });
  const transport = new OpenAIRealtimeWebSocket();
  const session = new RealtimeSession(clock, { transport, model, tracingDisabled: true });
  const [events, errors] = [[], []];
  session.on('error', ({ error }) => errors.push(error.error.code));
  const over = new Promise((resolve) => {
    transport.on('connection_change', (status) => status === 'disconnected' && resolve());
    session.on('transport_event', (event) => {
      events.push(event);
      if (event.type === 'response.done') resolve();
    });
  });
  await session.connect({ apiKey: key, url: `${url}?model=${model}` });
  session.sendMessage('What time is it?');
  await over;
  session.close();
  return { events, errors };
}

/** One WebSocket of the page: what came over it, and how it ended. */
function talk(relay, { key = CLIENT_KEY, query = `?model=${MODEL}`, ...script } = {}) {
  return inPage(
    ({ url, key, query, script }) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url + query, ['realtime', `openai-insecure-api-key.${key}`]);
        const seen = { opened: false, events: [] };
        socket.onopen = () => {
          Object.assign(seen, { opened: true, protocol: socket.protocol, extensions: socket.extensions });
          script.say?.forEach((event) => socket.send(JSON.stringify(event)));
        };
        socket.onmessage = ({ data }) => {
          seen.events.push(JSON.parse(data));
          if (seen.events.at(-1).type === script.until) socket.close(...script.leave);
        };
        socket.onclose = ({ code, wasClean }) => resolve({ ...seen, code, clean: wasClean });
      }),
    relay,
    { key, query, script },
  );
}

function inPage(run, relay, more) {
  const what = { url: relay.url, key: CLIENT_KEY, model: MODEL, turn: TURN, ...more };
  return soon(browser.page.evaluate(run, what), () => 'the end of what the page does');
}
