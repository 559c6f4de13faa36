// What a client's microphone hears, ready to be sent: 40 ms of pcm16 at 24 kHz an append, as a browser or a telephone
// would cut it. Made once for all virtual users: a load generator must not spend its time on sines and base64.

import { SharedArray } from 'k6/data';
import encoding from 'k6/encoding';

/** The pace of the microphone. */
export const APPEND_MS = 40;
const SAMPLES = 24 * APPEND_MS;

/** One second of speech: longer than the 100 ms that the service wants for a commit. */
export const SPOKEN_APPENDS = 25;

// A low voice, a tenth of full scale: above what any detector takes for the noise of a room.
const PITCH_HZ = 130;
const AMPLITUDE = 3_200;

// The silence stands behind the speech.
const appends = new SharedArray('appends', () => {
  const speech = Array.from({ length: SPOKEN_APPENDS }, (_, index) => append((at) => voice(index * SAMPLES + at)));
  return [...speech, append(() => 0)];
});

/** The appends of one second of speech. */
export const SPEECH = Array.from(appends).slice(0, SPOKEN_APPENDS);

/** The append of a room in which nobody speaks. */
export const SILENCE = appends[SPOKEN_APPENDS];

function voice(sample) {
  return Math.round(AMPLITUDE * Math.sin((2 * Math.PI * PITCH_HZ * sample) / 24_000));
}

function append(level) {
  const samples = new Int16Array(SAMPLES);
  for (let index = 0; index < SAMPLES; index++) samples[index] = level(index);
  const audio = encoding.b64encode(samples.buffer);
  return `{"type":"input_audio_buffer.append","audio":"${audio}"}`;
}
