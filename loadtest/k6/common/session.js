// One client of the relay: it opens a session, talks for some turns as people do, and closes.
//
// Every second client leaves it to the service to hear when a turn is over (server VAD, its microphone always on), and
// sometimes falls into the answer; the others press a button: they commit, and ask for a response.

import { OPEN, WebSocket, closeCode } from './socket.js';
import { APPEND_MS, SILENCE, SPEECH } from './speech.js';
import { URL, keyOf } from './profile.js';
import * as measures from './measures.js';

// Clients of the Realtime API give up on an upgrade then, and nothing else here takes nearly as long.
const PATIENCE_MS = 10_000;

/** How a relay that ends a session has to say so: the code of its event, and the close code that follows. */
const ANNOUNCED = { relay_restarting: 1012, upstream_connection_lost: 1011 };

// As clients do, so that a relay that is gone is not asked thousands of times a second.
const BACK_OFF_MS = 1_000;

// The type stands in front, but for an event id; the rest of a message is read only where something is counted.
const TYPE = /"type"\s*:\s*"([^"]+)"/;
const FRONT = 200;

/**
 * Runs one session to its end. Nothing is thrown: what goes wrong is counted.
 *
 * number   of the client: decides its key and its habits
 * turns    that it takes; none: it closes as soon as the session has answered once
 * until    in Unix milliseconds: takes no further turn after it
 * model    that it asks for
 * ends     the codes with which the relay may end it
 * refused  it has to be refused
 */
export function converse(plan) {
  return new Promise((resolve) => new Session(plan, resolve));
}

class Session {
  constructor({ number, turns = 0, until = Infinity, model = 'gpt-realtime', ends = [], refused = false }, resolve) {
    this.plan = { turns, until, ends, refused };
    this.tags = { key: keyOf(number) };
    this.pressesButton = number % 2 === 0;
    this.resolve = resolve;
    this.turn = 0;
    this.spoken = SPEECH.length; // appends of this turn that have been sent
    this.asked = {}; // when an event was sent that the event of this name answers
    this.began = this.heard = Date.now();
    this.socket = new WebSocket(`${URL}?model=${model}`, null, { headers: { Authorization: `Bearer sk-${this.tags.key}` } });
    this.socket.onopen = () => this.open();
    this.socket.onmessage = (message) => this.hear(message.data);
    this.socket.onerror = (event) => (this.error = String(event.error));
    this.socket.onclose = () => this.end();
    this.clock = setInterval(() => this.tick(), APPEND_MS);
  }

  open() {
    this.isOpen = true;
    measures.upgrade.add(Date.now() - this.began);
    measures.opened.add(1, this.tags);
    const turn_detection = this.pressesButton ? null : { type: 'server_vad', silence_duration_ms: 200 };
    const session = { type: 'realtime', audio: { input: { turn_detection } } };
    this.ask(JSON.stringify({ type: 'session.update', session }), 'session.updated');
  }

  tick() {
    if (Date.now() - this.heard > PATIENCE_MS) {
      this.fail(`nothing came for ${PATIENCE_MS / 1000} s, ${this.turn} turns`);
    } else if (this.isLive) {
      this.listen();
    }
  }

  /** The microphone: what is sent up every 40 ms. */
  listen() {
    if (this.spoken < SPEECH.length) {
      this.send(SPEECH[this.spoken++]);
      if (this.spoken === SPEECH.length) {
        this.fellSilent = Date.now();
        if (this.pressesButton) {
          this.ask('{"type":"input_audio_buffer.commit"}', 'input_audio_buffer.committed');
          this.ask('{"type":"response.create"}', 'response.created');
        }
      }
    } else if (!this.pressesButton) {
      this.send(SILENCE);
    }
  }

  speak() {
    this.turn++;
    this.spoken = 0;
  }

  hear(text) {
    const now = Date.now();
    this.heard = now;
    const found = TYPE.exec(text.slice(0, FRONT));
    const type = found ? found[1] : 'no type';
    if (type in this.asked) {
      measures.roundTrip.add(now - this.asked[type], { event: type });
      delete this.asked[type];
    }
    switch (type) {
      case 'session.created':
        this.isGreeted = true;
        return measures.setup.add(now - this.began);
      case 'session.updated':
        return this.updated();
      case 'response.created':
        this.lastDelta = undefined;
        return measures.begun.add(1, this.tags);
      case 'response.output_audio.delta':
        return this.delta(now);
      case 'response.done':
        return this.done(JSON.parse(text).response);
      case 'error':
        this.announced = JSON.parse(text).error.code;
        if (!this.plan.ends.includes(this.announced)) this.fail(`error event ${this.announced}`);
    }
  }

  updated() {
    // It was sent before this. k6 begins to read before it takes a socket for open, and throws away what comes between
    // the two: at times a message that stands right behind the 101 (`queueMessage` of its WebSocket).
    if (!this.isGreeted) measures.unheard.add(1);
    if (this.plan.turns === 0) return this.close();
    this.isLive = true;
    this.speak();
  }

  delta(now) {
    if (this.lastDelta === undefined) {
      measures.answer.add(now - this.fellSilent);
      // Every third turn falls into the answer, which the service then breaks off.
      if (!this.pressesButton && this.turn % 3 === 1 && this.turn < this.plan.turns) this.speak();
    } else {
      measures.gap.add(now - this.lastDelta);
    }
    this.lastDelta = now;
  }

  done(response) {
    measures.done.add(1, this.tags);
    measures.tokensIn.add(response.usage ? response.usage.input_tokens : 0, this.tags);
    measures.tokensOut.add(response.usage ? response.usage.output_tokens : 0, this.tags);
    if (this.spoken < SPEECH.length) return; // it was broken off: the next turn is under way
    if (this.turn < this.plan.turns && Date.now() < this.plan.until) return this.speak();
    this.close();
  }

  ask(event, answer) {
    this.asked[answer] = Date.now();
    this.send(event);
  }

  send(event) {
    if (this.socket.readyState === OPEN) this.socket.send(event);
  }

  close() {
    this.isLive = false;
    this.isClosing = true;
    this.socket.close(1000);
  }

  /** Something is wrong: says so, and leaves. */
  fail(why) {
    this.why = this.why || why;
    this.close();
    // Whoever does not answer a close is not waited for.
    if (Date.now() - this.heard > PATIENCE_MS) this.end();
  }

  /** The socket is gone. */
  end() {
    if (this.isOver) return;
    this.isOver = true;
    clearInterval(this.clock);
    if (this.count()) return this.resolve();
    setTimeout(this.resolve, BACK_OFF_MS);
  }

  /** Counts how it went; false: badly. */
  count() {
    const { ends, refused } = this.plan;
    const code = this.error && closeCode(this.error);
    const wasCut = code !== undefined && ends.includes(this.announced) && ANNOUNCED[this.announced] === code;
    // The relay may end it while its client does: k6 then shows only how.
    const crossed = ends.some((end) => ANNOUNCED[end] === code);
    const wentWell = !refused && this.isClosing && (!this.error || crossed);
    if (!this.why && refused && !this.isOpen) {
      measures.refused.add(1);
    } else if (!this.why && wasCut) {
      measures.cut.add(1, { code: String(code) });
    } else if (!this.why && wentWell) {
      measures.completed.add(1);
    } else {
      const why = this.why || this.error || (refused ? 'not refused' : 'closed without a word');
      measures.failed.add(1, { why });
      console.warn(`${this.tags.key}, turn ${this.turn}, ${Date.now() - this.began} ms: ${why}`);
      return false;
    }
    return true;
  }
}
