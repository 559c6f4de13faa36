// What k6 has found out, for people and for programs.

import { PROFILE, SUMMARY } from './profile.js';

const TIMES = [
  ['set-up', 'relay_setup'],
  ['101', 'relay_upgrade'],
  ['session.updated', 'relay_event_round_trip{event:session.updated}'],
  ['committed', 'relay_event_round_trip{event:input_audio_buffer.committed}'],
  ['response.created', 'relay_event_round_trip{event:response.created}'],
  ['answer', 'relay_answer'],
  ['gap in an answer', 'relay_delta_gap'],
];

/** What of a trend is kept. */
export const TREND_STATS = ['count', 'med', 'p(95)', 'p(99)', 'max'];

export function handleSummary(data) {
  const scenario = __ENV.SCENARIO || 'scenario';
  const demands = demandsOf(data.metrics);
  const crossed = demands.filter((demand) => !demand.ok);
  const seconds = Math.round(data.state.testRunDurationMs / 100) / 10;
  const verdict = crossed.length ? 'crossed' : 'held';
  return {
    stdout: forPeople(data.metrics, `${scenario}, profile ${PROFILE}, ${seconds} s`, demands, crossed),
    [SUMMARY]: JSON.stringify({ scenario, profile: PROFILE, seconds, verdict, demands, metrics: values(data.metrics) }, null, 1),
  };
}

function demandsOf(metrics) {
  const demands = [];
  for (const [metric, { values, thresholds }] of Object.entries(metrics)) {
    for (const [demand, { ok }] of Object.entries(thresholds || {})) {
      // Those that demand nothing only have k6 tell keys apart.
      if (demand !== 'count>=0') demands.push({ metric, demand, ok, was: values });
    }
  }
  return demands;
}

function values(metrics) {
  return Object.fromEntries(Object.entries(metrics).map(([name, metric]) => [name, metric.values]));
}

function forPeople(metrics, title, demands, crossed) {
  const count = (name) => (metrics[name] ? metrics[name].values.count : 0);
  const lines = [
    title,
    `  sessions           ${count('relay_sessions_opened')} opened, ${count('relay_sessions_completed')} completed, ` +
      `${count('relay_sessions_cut')} cut, ${count('relay_sessions_refused')} refused, ${count('relay_sessions_failed')} failed`,
    `  responses          ${count('relay_responses_begun')} begun, ${count('relay_responses_done')} done, ` +
      `${count('relay_tokens_in')} tokens in, ${count('relay_tokens_out')} out`,
    `  messages           ${count('ws_msgs_sent')} up, ${count('ws_msgs_received')} down`,
  ];
  for (const [name, metric] of TIMES) {
    const found = metrics[metric];
    if (!found || !found.values.count) continue;
    const [med, p95, p99, max] = ['med', 'p(95)', 'p(99)', 'max'].map((stat) => found.values[stat].toFixed(0));
    lines.push(`  ${name.padEnd(18)} median ${med} ms, p95 ${p95}, p99 ${p99}, most ${max}`);
  }
  lines.push(`  demands            ${demands.length - crossed.length} held, ${crossed.length} crossed`);
  const unheard = count('relay_greetings_unheard');
  if (unheard) lines.push(`  lost in k6         ${unheard} greetings (see common/session.js)`);
  for (const { metric, demand, was } of crossed) lines.push(`  CROSSED: ${metric} ${demand}: ${JSON.stringify(was)}`);
  return `${lines.join('\n')}\n`;
}
