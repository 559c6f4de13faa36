// More and more people call, stay at their number for a while, and hang up.

import exec from 'k6/execution';
import { converse } from '../common/session.js';
import { talkThresholds } from '../common/measures.js';
import { of } from '../common/profile.js';
import { TREND_STATS } from '../common/summary.js';

export { handleSummary } from '../common/summary.js';

const { people, up, stay, down, turns } = of({
  smoke: { people: 10, up: 3, stay: 2, down: 1, turns: 1 },
  load: { people: 100, up: 60, stay: 60, down: 20, turns: 4 },
  stress: { people: 400, up: 120, stay: 120, down: 40, turns: 4 },
});

export const options = {
  scenarios: {
    ramp: {
      executor: 'ramping-vus',
      startVUs: 1,
      stages: [
        { duration: `${up}s`, target: people },
        { duration: `${stay}s`, target: people },
        { duration: `${down}s`, target: 0 },
      ],
      // Whoever is talking may finish: what k6 cuts off, it does not count, and the ledger does.
      gracefulRampDown: '60s',
      gracefulStop: '60s',
    },
  },
  summaryTrendStats: TREND_STATS,
  thresholds: talkThresholds(),
};

export default function () {
  return converse({ number: exec.vu.idInTest, turns });
}
