import { execFileSync } from 'node:child_process';
import { describe, test } from 'vitest';
import { canMakeNamespaces, Namespaces, type Program } from './helpers/ingress-namespaces.ts';

const MAIN = new URL('../dist/main.js', import.meta.url).pathname;
const LIMIT_S = 90;

/** Reads what it is sent and never answers. */
const SILENT_WHISPER = `
  require('node:http')
    .createServer((request) => {
      request.resume();
      request.socket.on('close', () => console.log('cancelled'));
      console.log('asked');
    })
    .listen(7860, () => console.log('ready'));
`;
/** An upload that goes on for as long as somebody takes it. */
const UPLOAD = `
  const http = require('node:http');
  const upload = http.request('http://127.0.0.1:7861', { method: 'POST' }, (answer) => {
    answer.on('data', (text) => console.log(answer.statusCode, String(text)));
    answer.on('end', () => process.exit());
  });
  const piece = Buffer.alloc(65536);
  const pump = () => upload.write(piece, pump);
  upload.on('error', () => process.exit(1));
  pump();
`;
const CURL = ['curl', '-s', '-m', '120', '-w', ' %{http_code}'];

function startWhisper(namespaces: Namespaces, where: string): Program {
  return namespaces.run(where, [process.execPath, '-e', SILENT_WHISPER]);
}

async function startProxy(namespaces: Namespaces, upstream: string): Promise<void> {
  const proxy = namespaces.run(namespaces.near, [process.execPath, MAIN], {
    UPSTREAM: `http://${upstream}:7860`,
    INGRESS_LISTEN: '0.0.0.0:7861',
  });
  await proxy.prints('listening');
}

/** These take as long as the kernel needs to give a peer up: most of a minute, side by side. */
describe.skipIf(!canMakeNamespaces())('a peer that vanishes (needs root and iproute2)', () => {
  test.concurrent('whisper, silent: 502 within 90 seconds', async ({ expect, onTestFinished }) => {
    const namespaces = new Namespaces();
    onTestFinished(() => namespaces.remove());
    const whisper = startWhisper(namespaces, namespaces.far);
    await whisper.prints('ready');
    await startProxy(namespaces, '10.0.0.2');
    const client = namespaces.run(namespaces.near, [...CURL, 'http://127.0.0.1:7861/']);
    await whisper.prints('asked');
    const since = performance.now();
    namespaces.cut();
    await client.ends();
    expect(client.printed).toMatch(/^whisper-proxy: whisper at .* ended the connection .*\n 502$/);
    expect(performance.now() - since).toBeLessThan(LIMIT_S * 1000);
  }, 120_000);

  test.concurrent('whisper, during an upload: 502 within 90 seconds, with net.ipv4.tcp_retries2=7', async ({
    expect,
    onTestFinished,
  }) => {
    const namespaces = new Namespaces();
    onTestFinished(() => namespaces.remove());
    // Bytes on the way put keep-alive off; what counts then is how often the kernel sends them again.
    const retries = ['netns', 'exec', namespaces.near, 'sysctl', '-qw', 'net.ipv4.tcp_retries2=7'];
    execFileSync('ip', retries);
    const whisper = startWhisper(namespaces, namespaces.far);
    await whisper.prints('ready');
    await startProxy(namespaces, '10.0.0.2');
    const client = namespaces.run(namespaces.near, [process.execPath, '-e', UPLOAD]);
    await whisper.prints('asked');
    const since = performance.now();
    namespaces.cut();
    await client.ends();
    expect(client.printed).toMatch(/^502 whisper-proxy: /);
    expect(performance.now() - since).toBeLessThan(LIMIT_S * 1000);
  }, 120_000);

  test.concurrent('session-manager: its request is cancelled within 90 seconds', async ({
    expect,
    onTestFinished,
  }) => {
    const namespaces = new Namespaces();
    onTestFinished(() => namespaces.remove());
    const whisper = startWhisper(namespaces, namespaces.near);
    await whisper.prints('ready');
    await startProxy(namespaces, '127.0.0.1');
    namespaces.run(namespaces.far, [...CURL, 'http://10.0.0.1:7861/']);
    await whisper.prints('asked');
    const since = performance.now();
    namespaces.cut();
    await whisper.prints('cancelled');
    expect(performance.now() - since).toBeLessThan(LIMIT_S * 1000);
  }, 120_000);
});
