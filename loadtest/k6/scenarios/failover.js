// An upstream fails under load: whoever runs this stops the first upstream, so that it takes connections and answers
// none, and then kills it. Sessions that it carried end as announced; nobody who calls meanwhile is turned away.

import exec from 'k6/execution';
import { converse } from '../common/session.js';
import { talkThresholds } from '../common/measures.js';
import { limits, newcomers, of } from '../common/profile.js';
import { TREND_STATS } from '../common/summary.js';

export { handleSummary } from '../common/summary.js';

const { people, seconds, turns, calls } = of({
  smoke: { people: 8, seconds: 7, turns: 2, calls: 4 },
  load: { people: 60, seconds: 60, turns: 4, calls: 10 },
  stress: { people: 250, seconds: 90, turns: 4, calls: 30 },
});

// What an attempt at the first upstream may take before the second is tried: `dial_timeout` in the relay's configuration.
const DIAL_TIMEOUT_MS = 500;
// Sessions on the stopped upstream wait until it is killed.
const WHILE_STOPPED_MS = 5_000;

export const options = {
  scenarios: {
    failover: { executor: 'constant-vus', vus: people, duration: `${seconds}s`, gracefulStop: '30s' },
    // All of those people may be waiting while the upstream is stopped: others keep calling, so many a second.
    newcomers: newcomers(calls, seconds),
  },
  summaryTrendStats: TREND_STATS,
  thresholds: talkThresholds({
    relay_setup: [`p(99)<${limits.setup.p99 + DIAL_TIMEOUT_MS}`],
    // The failure has to strike somebody, else nothing was tested.
    relay_sessions_cut: ['count>0'],
    relay_answer: [`max<${limits.answer.p95 + WHILE_STOPPED_MS}`],
    relay_delta_gap: [`max<${WHILE_STOPPED_MS}`],
    'relay_event_round_trip{event:session.updated}': [`max<${WHILE_STOPPED_MS}`],
    'relay_event_round_trip{event:input_audio_buffer.committed}': [`max<${WHILE_STOPPED_MS}`],
    'relay_event_round_trip{event:response.created}': [`max<${WHILE_STOPPED_MS}`],
  }),
};

export default function () {
  const until = exec.scenario.startTime + seconds * 1_000;
  return converse({ number: exec.vu.idInTest, turns, until, ends: ['upstream_connection_lost'] });
}

export function call() {
  return converse({ number: exec.scenario.iterationInTest, turns: 1, ends: ['upstream_connection_lost'] });
}
