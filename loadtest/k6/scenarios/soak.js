// The same load for a long time. Whoever runs it looks at the relay meanwhile: its memory and its descriptors must not
// grow.

import exec from 'k6/execution';
import { converse } from '../common/session.js';
import { talkThresholds } from '../common/measures.js';
import { of } from '../common/profile.js';
import { TREND_STATS } from '../common/summary.js';

export { handleSummary } from '../common/summary.js';

const { people, seconds, most_turns } = of({
  smoke: { people: 8, seconds: 8, most_turns: 2 },
  load: { people: 50, seconds: 600, most_turns: 30 },
  stress: { people: 150, seconds: 3_600, most_turns: 60 },
});

export const options = {
  scenarios: { soak: { executor: 'constant-vus', vus: people, duration: `${seconds}s`, gracefulStop: '30s' } },
  summaryTrendStats: TREND_STATS,
  thresholds: talkThresholds(),
};

export default function () {
  // Calls of all lengths, so that they do not begin and end in step.
  const turns = 1 + Math.floor(Math.random() * most_turns);
  return converse({ number: exec.vu.idInTest, turns, until: exec.scenario.startTime + seconds * 1_000 });
}
