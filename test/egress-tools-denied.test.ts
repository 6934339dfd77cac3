import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { ProxyAgent, request, fetch as undiciFetch } from 'undici';
import { describe, expect, test } from 'vitest';
import { startProxyTo } from './helpers/proxy.ts';
import { cleanUp } from './helpers/proxy-cleanup.ts';
import { ask, connectTo, RawClient } from './helpers/raw-client.ts';
import { isMissing } from './helpers/tools.ts';

/** Debian's, which has the packages. */
const PYTHON = '/usr/bin/python3';
/** Building Go's own packages takes long on a busy machine. */
const LONG_MS = 300_000;

const lacks = (module: string) => spawnSync(PYTHON, ['-c', `import ${module}`]).status !== 0;

/** Runs a tool that reads the proxy variables. @returns all that it prints. */
function run(proxy: string, command: string, args: string[]): Promise<string> {
  const env = {
    PATH: process.env.PATH,
    HOME: homedir(),
    ...{ http_proxy: proxy, https_proxy: proxy, HTTP_PROXY: proxy, HTTPS_PROXY: proxy },
  };
  return new Promise((resolve) => {
    execFile(command, args, { env }, (_, stdout, stderr) => resolve(stdout + stderr));
  });
}

const python = (code: string) => (url: string, proxy: string) => {
  const lines = ['import sys', 'url = sys.argv[1]', code, ''];
  return run(proxy, PYTHON, ['-c', lines.join('\n'), url]);
};

const AIOHTTP = `
import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session:
        async with session.get(url) as answer:
            print(answer.status, answer.reason)
asyncio.run(main())`;

const GO = `
package main
import ("fmt"; "net/http"; "os")
func main() {
  answer, err := http.Get(os.Args[1])
  if err != nil { fmt.Println(err) } else { fmt.Println(answer.Status) }
}`;

function goRun(url: string, proxy: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'whisper-proxy-go-'));
  cleanUp(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'get.go'), GO);
  return run(proxy, 'go', ['run', join(folder, 'get.go'), url]);
}

describe.each<[string, boolean, (url: string, proxy: string) => Promise<string>]>([
  ['wget', isMissing('wget'), (url, proxy) => run(proxy, 'wget', ['-O-', '--tries=1', url])],
  [
    "Python's urllib",
    lacks('urllib'),
    python('import urllib.request\nurllib.request.urlopen(url)'),
  ],
  ['requests', lacks('requests'), python('import requests\nrequests.get(url).raise_for_status()')],
  ['httpx', lacks('httpx'), python('import httpx\nhttpx.get(url).raise_for_status()')],
  ['aiohttp', lacks('aiohttp'), python(AIOHTTP)],
  ['Go', isMissing('go', 'version'), goRun],
])('%s shows why it was denied', (tool, missing, get) => {
  test.skipIf(missing)(`a tunnel (needs ${tool})`, { timeout: LONG_MS }, async () => {
    const proxy = await startProxyTo(443);
    const shown = await get('https://evil.test/', proxy.url);
    expect(shown).toContain('Forbidden (whisper-proxy: evil.test:443 is not on the allowlist)');
    expect(proxy.decisions()).toMatchObject([{ reason: 'not_allowed', via: 'connect' }]);
  });

  test.skipIf(missing)(`plain HTTP (needs ${tool})`, { timeout: LONG_MS }, async () => {
    const proxy = await startProxyTo(443);
    const shown = await get('http://evil.test/', proxy.url);
    expect(shown).toContain('Forbidden (whisper-proxy: evil.test:80 is not on the allowlist)');
    expect(proxy.decisions()).toMatchObject([{ reason: 'not_allowed', via: 'http' }]);
  });
});

describe('who does not show it takes it all the same', () => {
  test.skipIf(isMissing('curl'))('curl (needs curl)', async () => {
    const proxy = await startProxyTo(443);
    expect(await run(proxy.url, 'curl', ['-sS', 'https://evil.test/'])).toMatch(/ 403\n$/);
    const shown = await run(proxy.url, 'curl', ['-sSi', 'http://evil.test/']);
    expect(shown).toMatch(/^HTTP\/1\.1 403 Forbidden \(whisper-proxy: evil\.test:80 is not on /);
  });

  test('undici, and its fetch, which is that of Node', async () => {
    const proxy = await startProxyTo(443);
    const dispatcher = new ProxyAgent({ uri: proxy.url, proxyTunnel: false });
    cleanUp(() => dispatcher.destroy());
    const { statusCode, body } = await request('http://evil.test/', { dispatcher });
    expect([statusCode, await body.text()]).toEqual([403, expect.stringContaining('allowlist')]);
    const answer = await undiciFetch('http://evil.test/', { dispatcher });
    expect([answer.status, await answer.text()]).toEqual([403, expect.stringContaining('allow')]);
    const tunnels = new ProxyAgent(proxy.url);
    cleanUp(() => tunnels.destroy());
    await expect(request('https://evil.test/', { dispatcher: tunnels })).rejects.toThrow('403');
  });
});

describe('the reason phrase', () => {
  const phrase = (text: string) => /^HTTP\/1\.1 (\d{3} [^\r\n]*)\r\n/.exec(text)?.[1];
  const ofTunnel = async (target: string) => {
    const proxy = await startProxyTo(443, { EGRESS_DENY: 'no.test' });
    const client = await RawClient.connect(proxy.port);
    await client.send(connectTo(target)).until('\r\n\r\n');
    return phrase(client.received);
  };

  test.each([
    ['no.test:443', '403 Forbidden (whisper-proxy: no.test:443 is denied by a rule)'],
    ['10.1.2.3:443', '403 Forbidden (whisper-proxy: 10.1.2.3:443 is not a public address)'],
    [
      '[2001:DB8::1]:443',
      '403 Forbidden (whisper-proxy: [2001:db8::1]:443 is not a public address)',
    ],
    [
      'origin.test',
      '400 Bad Request (whisper-proxy: the target must be host:port, as in example.org:443)',
    ],
  ])('of %s', async (target, expected) => {
    expect(await ofTunnel(target)).toBe(expected);
  });

  test.each([
    `${'a.'.repeat(120)}test:443`,
    `${'a'.repeat(300)}:443`,
    `\xe9\x01"<b>:443`,
    '"; x=\t:1',
  ])('is of printable ASCII and at most 120 bytes, whatever is asked for: %j', async (target) => {
    const text = (await ofTunnel(target)) ?? '';
    expect(text).toMatch(/^40[03] [\x20-\x7e]+\)$/);
    expect(text.length).toBeLessThanOrEqual('400 '.length + 120);
  });

  test('of a target that cannot be reached', async () => {
    const proxy = await startProxyTo(1);
    const answer = await RawClient.connect(proxy.port);
    await answer.send(connectTo('origin.test:1')).until('\r\n\r\n');
    expect(phrase(answer.received)).toBe(
      '502 Bad Gateway (whisper-proxy: origin.test:1 cannot be reached (ECONNREFUSED))',
    );
  });

  test('goes with the sentence in the body', async () => {
    const proxy = await startProxyTo(443);
    expect((await ask(proxy.port, connectTo('x.test:443'))).body).toContain('To allow it, add ');
  });
});
