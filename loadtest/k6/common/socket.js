// The one place that says where k6 keeps its WebSocket with the browser's API: many sockets a virtual user, on its event
// loop. k6 1.1 has it under this name; later ones also as `k6/websockets`, and one day only so.

export { WebSocket } from 'k6/experimental/websockets';

/** The `readyState` of a socket that can be written to, as in the WHATWG's standard. */
export const OPEN = 1;

// What k6 tells of a close frame: no `code` in its close event, but an error before it, in the words of its library.
const CLOSED_WITH = /^websocket: close (\d{4})/;

/** The code of the close frame that ended a socket, from the text of its error; undefined where none came. */
export function closeCode(error) {
  const found = CLOSED_WITH.exec(error);
  return found ? Number(found[1]) : undefined;
}
