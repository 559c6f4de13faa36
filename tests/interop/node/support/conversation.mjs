// What every client of these tests does in a session, whatever library it uses, and what must hold of it.
// It refuses to know libraries: they hand over the events that they saw.

import assert from 'node:assert/strict';
import { soon } from './processes.mjs';

/** A turn in text. */
export const TURN = [
  {
    type: 'conversation.item.create',
    item: { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'What time is it?' }] },
  },
  { type: 'response.create' },
];

/** Every event that came, and whoever waits for one. */
export class Events {
  constructor() {
    this.seen = [];
    this.changed = () => {};
  }

  push(event) {
    this.seen.push(event);
    this.changed();
  }

  /** The first event of this type, once it is there. */
  async first(type) {
    const find = () => this.seen.find((event) => event.type === type);
    const found = new Promise((resolve) => {
      this.changed = () => find() && resolve(find());
      this.changed();
    });
    return soon(found, () => `${type} among ${this.seen.map((event) => event.type)}`);
  }
}

/** A session from its first event to the end of an answer, all of which came, and the ledger's row for it. */
export async function assertWhole(events, relay) {
  assert.equal(events[0].type, 'session.created');
  const done = events.find((event) => event.type === 'response.done').response;
  const deltas = events.filter((event) => event.type === 'response.output_audio_transcript.delta');
  const spoken = events.find((event) => event.type === 'response.output_audio_transcript.done').transcript;
  assert.equal(done.status, 'completed');
  assert.ok(deltas.length > 1 && spoken);
  assert.equal(deltas.map((event) => event.delta).join(''), spoken);
  const [row, ...others] = await relay.usage();
  assert.deepEqual(others, []);
  assert.equal(row.group, 'interop');
  assert.equal(row.responses, 1);
  assert.equal(row.output_audio, done.usage.output_token_details.audio_tokens);
  assert.equal(row.input_text, done.usage.input_token_details.text_tokens);
}

/** The last event, which says why the relay ends the link. */
export function assertTold(events, code) {
  const last = events.at(-1);
  assert.equal(last.type, 'error');
  assert.equal(last.error.code, code);
  assert.match(last.error.message, /request id: /);
}

/** Ends every link at once when the relay is told to drain. */
export const DRAIN_AT_ONCE = { limits: 'drain_grace = "0s"\ndrain_timeout = "1ms"\ndrain_spread = "0s"' };
