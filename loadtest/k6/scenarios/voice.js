// A number of people who talk at the same time, each for several turns.

import exec from 'k6/execution';
import { converse } from '../common/session.js';
import { talkThresholds } from '../common/measures.js';
import { of } from '../common/profile.js';
import { TREND_STATS } from '../common/summary.js';

export { handleSummary } from '../common/summary.js';

const { people, calls, turns } = of({
  smoke: { people: 6, calls: 1, turns: 3 },
  load: { people: 60, calls: 3, turns: 12 },
  stress: { people: 250, calls: 3, turns: 12 },
});

export const options = {
  scenarios: {
    voice: { executor: 'per-vu-iterations', vus: people, iterations: calls, maxDuration: '10m', gracefulStop: '30s' },
  },
  summaryTrendStats: TREND_STATS,
  thresholds: talkThresholds({ relay_sessions_completed: [`count==${people * calls}`] }),
};

export default function () {
  return converse({ number: exec.vu.idInTest, turns });
}
