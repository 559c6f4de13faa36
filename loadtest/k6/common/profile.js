// What the environment says: where the relay is, how hard it is tested, and in how much time it has to answer.
//
//   URL      ws://…/v1/realtime of the relay
//   KEYS     names of clients' keys, parted by commas; the key of `acme` is `sk-acme`
//   PROFILE  smoke (a few seconds: does it work), load (what one machine should bear without anybody noticing), stress
//            (many times that, to see what gives)
//   SUMMARY  where the summary is written as JSON

export const URL = __ENV.URL || 'ws://127.0.0.1:8080/v1/realtime';
export const KEYS = (__ENV.KEYS || 'acme').split(',');
export const PROFILE = __ENV.PROFILE || 'smoke';
export const SUMMARY = __ENV.SUMMARY || 'summary.json';

/** The one of these that belongs to the profile. */
export function of(profiles) {
  const found = profiles[PROFILE];
  if (!found) throw new Error(`PROFILE is ${Object.keys(profiles).join(', ')}; not ${PROFILE}`);
  return found;
}

/** The key of this virtual user's turn: all keys are used alike. */
export function keyOf(number) {
  return KEYS[number % KEYS.length];
}

/** A scenario of k6 beside the main one: people who call at a steady rate, whatever becomes of the others. */
export function newcomers(rate, seconds) {
  const duration = `${seconds}s`;
  // A call lasts less than two seconds, unless the relay is in trouble.
  return { executor: 'constant-arrival-rate', exec: 'call', rate, duration, preAllocatedVUs: rate * 6, gracefulStop: '30s' };
}

/** In milliseconds. Generator, relay and upstream share the cores, so all of them have a part in each. */
export const limits = of({
  // A dev build on a machine that does other things as well: only what hangs is to be caught. Half a second of set-up is
  // what a caller takes for a delay, a quarter of a second in a conversation likewise.
  smoke: { setup: { p95: 500, p99: 1_000 }, trip: { p95: 250, p99: 500 }, answer: { p95: 1_000 }, gap: { p99: 400 } },
  load: {
    // A link costs two TCP and HTTP handshakes and two first events, some 2 ms when it is alone. 100 ms is what people
    // still take for at once, 300 ms the worst that a new call may have to wait behind others.
    setup: { p95: 100, p99: 300 },
    // One append lasts 40 ms: an answer that takes longer on loopback has waited behind other people's audio.
    trip: { p95: 40, p99: 120 },
    // 200 ms of silence end a turn; up to three appends of 40 ms, until the detector has heard that, and a round trip.
    answer: { p95: 400 },
    // A piece is 100 ms of sound, sent every 17 ms: after 100 ms without one, whoever plays it as it comes runs dry.
    gap: { p99: 100 },
  },
  // More than one machine should be asked for. It may be slow, but nothing may break: a client gives up at 10 s.
  stress: { setup: { p95: 2_000, p99: 5_000 }, trip: { p95: 1_000, p99: 3_000 }, answer: { p95: 2_500 }, gap: { p99: 2_000 } },
});
