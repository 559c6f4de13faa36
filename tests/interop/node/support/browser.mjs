// A browser with a page of its own, served on loopback, in which tests run functions.
// It refuses to know relays, and what the page does.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join, normalize } from 'node:path';
import { chromium } from 'playwright-core';

const EXECUTABLE = process.env.REALTIME_RELAY_CHROMIUM;
// Where the test CA is trusted.
const HOME = process.env.REALTIME_RELAY_BROWSER_HOME;
const MODULES = process.env.REALTIME_RELAY_MODULES;

/** Why there is none; nothing where there is one. */
export const absent = EXECUTABLE ? false : 'no Chromium, or no certutil';

// Nothing but loopback is spoken to.
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A browser, and the address of the page that it shows; `close` ends both. */
export async function open() {
  const profile = await mkdtemp(join(tmpdir(), 'interop-profile-'));
  const server = createServer(serve).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: EXECUTABLE,
    headless: true,
    args: ARGUMENTS,
    env: { ...process.env, HOME },
  });
  const page = await browser.newPage();
  const origin = `http://localhost:${server.address().port}`;
  await page.goto(`${origin}/`);
  const close = async () => {
    await browser.close();
    server.closeAllConnections();
    server.close();
    await rm(profile, { recursive: true, force: true });
  };
  return { page, origin, close };
}

/** An empty page, and below `/modules/` the libraries as they were installed. */
async function serve(request, response) {
  const path = normalize(new URL(request.url, 'http://localhost').pathname);
  try {
    if (path === '/') {
      response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>A page</title>');
    } else {
      const found = await readFile(join(MODULES, path.replace(/^\/modules\//, '/')));
      response.setHeader('Content-Type', 'text/javascript').end(found);
    }
  } catch {
    response.writeHead(404).end();
  }
}
