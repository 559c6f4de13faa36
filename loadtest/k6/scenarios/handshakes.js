// A storm of new links, as after a network came back: each is opened, asks one thing, and is closed. One in ten asks for
// a model that its key may not use, and is refused.

import exec from 'k6/execution';
import { converse } from '../common/session.js';
import { thresholds } from '../common/measures.js';
import { of } from '../common/profile.js';
import { TREND_STATS } from '../common/summary.js';

export { handleSummary } from '../common/summary.js';

const { from, to, rise, stay, waiting } = of({
  smoke: { from: 20, to: 60, rise: 2, stay: 2, waiting: 40 },
  load: { from: 50, to: 300, rise: 20, stay: 40, waiting: 300 },
  stress: { from: 100, to: 1_000, rise: 30, stay: 60, waiting: 2_000 },
});

export const options = {
  scenarios: {
    handshakes: {
      executor: 'ramping-arrival-rate',
      startRate: from, // new links a second
      stages: [
        { duration: `${rise}s`, target: to },
        { duration: `${stay}s`, target: to },
      ],
      preAllocatedVUs: waiting,
      gracefulStop: '30s',
    },
  },
  summaryTrendStats: TREND_STATS,
  thresholds: thresholds({ relay_sessions_refused: ['count>0'] }),
};

export default function () {
  const number = exec.scenario.iterationInTest;
  const refused = number % 10 === 9;
  return converse({ number, refused, model: refused ? 'not-for-this-key' : undefined });
}
