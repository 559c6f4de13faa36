// A relay on the `ws` package, the way the relay server of OpenAI's console does it: for each client a socket to the
// upstream, every event parsed and printed again, what a client says before that socket is open kept in a queue.
//
// node relay.mjs <port> <url of the upstream>
import { WebSocket, WebSocketServer } from "ws";

const [port, upstreamUrl] = process.argv.slice(2);
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(port) });

server.on("connection", (client, request) => {
  const upstream = new WebSocket(upstreamUrl + request.url);
  const queue = [];

  const send = (event) => {
    const { type, event_id, ...rest } = event;
    upstream.send(JSON.stringify({ event_id: event_id ?? `event_${Math.random().toString(36).slice(2)}`, type, ...rest }));
  };

  client.on("message", (data) => {
    try {
      const event = JSON.parse(data);
      if (upstream.readyState === WebSocket.OPEN) send(event);
      else queue.push(event);
    } catch (error) {
      console.error(`no event: ${error.message}`);
    }
  });
  client.on("close", () => upstream.close());
  client.on("error", () => upstream.close());

  upstream.on("open", () => {
    while (queue.length) send(queue.shift());
  });
  upstream.on("message", (data) => client.send(JSON.stringify(JSON.parse(data))));
  upstream.on("close", () => client.close());
  upstream.on("error", () => client.close());
});
