// What is measured and counted, and what of it is demanded in every scenario.

import { Counter, Trend } from 'k6/metrics';
import { KEYS, limits } from './profile.js';

// k6's clock has milliseconds: these say whether sessions are served in time, not what the relay costs.
/** From the request to `session.created`: all that somebody who calls has to wait for. */
export const setup = new Trend('relay_setup', true);
/** From the request to the 101. */
export const upgrade = new Trend('relay_upgrade', true);
/** From a client's event to the event that answers it at once. Tagged with the latter, as `event`. */
export const roundTrip = new Trend('relay_event_round_trip', true);
/** From the end of what the client says to the first sound of the answer. */
export const answer = new Trend('relay_answer', true);
/** Between two pieces of an answer's audio. */
export const gap = new Trend('relay_delta_gap', true);

// Tagged with the client's key, to be compared with the ledger.
export const opened = new Counter('relay_sessions_opened');
export const begun = new Counter('relay_responses_begun');
export const done = new Counter('relay_responses_done');
export const tokensIn = new Counter('relay_tokens_in');
export const tokensOut = new Counter('relay_tokens_out');
const BOOKS = ['relay_sessions_opened', 'relay_responses_begun', 'relay_responses_done', 'relay_tokens_in', 'relay_tokens_out'];

/** Sessions that said all they had to say, and closed. */
export const completed = new Counter('relay_sessions_completed');
/** Sessions that were ended in the way that the scenario provokes: the announced event, and its close code. */
export const cut = new Counter('relay_sessions_cut');
/** Requests that were refused, as they were to be. */
export const refused = new Counter('relay_sessions_refused');
/** Sessions whose `session.created` was lost in k6, not on its way: what came behind it was heard. */
export const unheard = new Counter('relay_greetings_unheard');
/** Anything else. Tagged with what it was, as `why`. */
export const failed = new Counter('relay_sessions_failed');

/** What holds in every scenario; `more` is added, and overrides. */
export function thresholds(more) {
  const demands = {
    // A load that is not too much has no failure at all: each would be somebody whose call broke off.
    relay_sessions_failed: ['count==0'],
    // Nothing crosses a network here; what takes time is the queue in front of a core. See the profiles.
    relay_setup: [`p(95)<${limits.setup.p95}`, `p(99)<${limits.setup.p99}`],
    // Unless the scenario says so, nobody ends a session but its client.
    relay_sessions_cut: ['count==0'],
    // A rate or a session that k6 could not begin was not tested.
    dropped_iterations: ['count==0'],
    // Without one, nothing was tested either.
    relay_sessions_completed: ['count>0'],
  };
  // Demands nothing: k6 tells apart in its summary only what has a threshold.
  for (const metric of BOOKS) {
    for (const key of KEYS) demands[`${metric}{key:${key}}`] = ['count>=0'];
  }
  return Object.assign(demands, more);
}

/** What holds where clients talk. */
export function talkThresholds(more) {
  const trip = [`p(95)<${limits.trip.p95}`, `p(99)<${limits.trip.p99}`];
  return thresholds(
    Object.assign(
      {
        'relay_event_round_trip{event:session.updated}': trip,
        'relay_event_round_trip{event:input_audio_buffer.committed}': trip,
        'relay_event_round_trip{event:response.created}': trip,
        relay_answer: [`p(95)<${limits.answer.p95}`],
        relay_delta_gap: [`p(99)<${limits.gap.p99}`],
        relay_responses_done: ['count>0'],
      },
      more,
    ),
  );
}
