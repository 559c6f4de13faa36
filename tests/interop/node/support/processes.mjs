// The two processes under test: started on free ports, read line by line, ended by handle. The relay serves TLS.
// It refuses to know clients.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

// What is neither there nor gone by then never will be.
export const DEADLINE_MS = 15_000;

const BINARY = process.env.REALTIME_RELAY_BIN;
const TLS = process.env.REALTIME_RELAY_TLS;
// What these tests are told by is in the file, not what the shell holds.
const ENVIRONMENT = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('RELAY_')));

// Only for the upstream, and only for the client. Neither may be found in the other's hands, or in a log.
export const UPSTREAM_KEY = 'sk-upstream-1f0c7d52';
/** Starts like an ephemeral key: what the libraries ask of a key in a browser. */
export const CLIENT_KEY = 'ek_client-9b3e88a4';
export const STRANGER = 'ek_stranger-5d21c9';
export const MODEL = 'gpt-realtime';

/** A relay in front of a simulated upstream, or of another, gone when the test is over, and no key in its log. */
export async function relay(test, { server = '', limits = '', upstream } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'interop-'));
  let simulator, relay;
  // One hook, for several would run in the order in which they were made.
  test.after(async () => {
    try {
      await relay?.finish();
    } finally {
      await simulator?.kill();
      await rm(folder, { recursive: true });
    }
  });
  if (!upstream) {
    simulator = new Process('stdout', 'simulate', '--listen', '127.0.0.1:0', '--pace', '20', '--key', UPSTREAM_KEY);
    upstream = await simulator.match(/ws:\/\/127\.0\.0\.1:\d+\/v1\/realtime/);
  }
  const config = join(folder, 'relay.toml');
  await writeFile(config, configuration(upstream, server, limits));
  relay = new Relay('stderr', 'serve', '--config', config);
  relay.config = config;
  relay.url = await relay.match(/wss:\/\/127\.0\.0\.1:\d+\/v1\/realtime/);
  relay.adminUrl = (await relay.match(/http:\/\/127\.0\.0\.1:\d+\/readyz/)).replace('/readyz', '');
  return relay;
}

class Process {
  constructor(stream, ...command) {
    const stdio = ['ignore', 'ignore', 'inherit'];
    stdio[{ stdout: 1, stderr: 2 }[stream]] = 'pipe';
    this.child = spawn(BINARY, command, { env: ENVIRONMENT, stdio });
    this.exit = new Promise((resolve) => this.child.once('close', resolve));
    this.lines = [];
    this.lookers = new Set();
    createInterface({ input: this.child[stream] }).on('line', (line) => {
      this.lines.push(line);
      for (const look of this.lookers) look();
    });
  }

  /** What the expression finds in the first line that has it, once it is there. */
  match(expression) {
    return this.find((lines) => lines.map((line) => expression.exec(line)?.[0]).find(Boolean), `${expression}`);
  }

  /** The first answer of `find` about the lines that is one. */
  find(find, what) {
    let look;
    const found = new Promise((resolve) => {
      look = () => {
        const answer = find(this.lines);
        if (answer !== undefined) resolve(answer);
      };
      this.lookers.add(look);
      look();
    });
    return soon(found, () => `${what} in ${this.lines.join('\n')}`).finally(() => this.lookers.delete(look));
  }

  kill() {
    this.child.kill('SIGKILL');
    return this.exit;
  }
}

class Relay extends Process {
  /** The first record of the log with this message. */
  record(message) {
    return this.find((lines) => lines.map((line) => JSON.parse(line)).find((line) => line.message === message), message);
  }

  async admin(method, path) {
    const answer = await fetch(this.adminUrl + path, { method });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
    return answer.headers.get('content-type')?.includes('json') ? answer.json() : answer.text();
  }

  /** Ends the only link, as an operator would. */
  async endLink() {
    const [link, ...others] = await this.admin('GET', '/links');
    assert.deepEqual(others, []);
    await this.admin('DELETE', `/links/${link.id}`);
  }

  /** What the ledger says of the client, once its link has ended. */
  async usage() {
    await this.record('link ended');
    const { stdout } = await promisify(execFile)(BINARY, ['usage', '--config', this.config, '--json'], { env: ENVIRONMENT });
    return JSON.parse(stdout);
  }

  /** Stops it in order, and looks through its log. */
  async finish() {
    this.child.kill('SIGINT');
    assert.equal(await soon(this.exit, () => 'its end'), 0, this.lines.join('\n'));
    for (const line of this.lines) {
      JSON.parse(line);
      for (const secret of [UPSTREAM_KEY, CLIENT_KEY, STRANGER, 'panicked']) assert.ok(!line.includes(secret), line);
    }
  }
}

/** The outcome of a promise, before the deadline. */
export function soon(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`in vain, or too late: ${what()}`)), DEADLINE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function configuration(upstream, server, limits) {
  return `
[server]
listen = ["127.0.0.1:0"]
tls_cert = "${TLS}/server.pem"
tls_key = "${TLS}/server.key"
${server}

[limits]
${limits}

[admin]
listen = "127.0.0.1:0"

[log]
format = "json"
level = "trace"

[[upstreams]]
name = "simulated"
kind = "openai"
url = "${upstream}"
key = "${UPSTREAM_KEY}"

[[keys]]
name = "interop"
key = "${CLIENT_KEY}"
`;
}
