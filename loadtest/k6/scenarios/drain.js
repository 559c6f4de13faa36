// A restart under load: whoever runs this has a second relay take the place of the first. The sessions of the first end as
// announced when its time is up; nobody who calls meanwhile is turned away.

import exec from 'k6/execution';
import { converse } from '../common/session.js';
import { talkThresholds } from '../common/measures.js';
import { newcomers, of } from '../common/profile.js';
import { TREND_STATS } from '../common/summary.js';

export { handleSummary } from '../common/summary.js';

const { people, seconds, calls } = of({
  smoke: { people: 8, seconds: 6, calls: 8 },
  load: { people: 60, seconds: 45, calls: 20 },
  stress: { people: 250, seconds: 60, calls: 60 },
});

// More than there is time for: who is in the first relay when its time is up, is cut.
const TURNS = 1_000;

export const options = {
  scenarios: {
    drain: { executor: 'constant-vus', vus: people, duration: `${seconds}s`, gracefulStop: '30s' },
    // Others keep calling while the listening socket changes hands, so many a second.
    newcomers: newcomers(calls, seconds),
  },
  summaryTrendStats: TREND_STATS,
  thresholds: talkThresholds({
    // Each of these people was there before the restart, and hears of it, once.
    'relay_sessions_cut{scenario:drain}': [`count==${people}`],
    relay_sessions_cut: ['count>0'],
  }),
};

export default function () {
  const until = exec.scenario.startTime + seconds * 1_000;
  // Who was cut calls again at once: this function is called again.
  return converse({ number: exec.vu.idInTest, turns: TURNS, until, ends: ['relay_restarting'] });
}

export function call() {
  return converse({ number: exec.scenario.iterationInTest, turns: 1, ends: ['relay_restarting'] });
}
