import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ProxyAgent, request } from 'undici';
import { describe, expect, test } from 'vitest';
import { startHttp } from './helpers/origin.ts';
import { startProxyTo, type TestProxy } from './helpers/proxy.ts';
import { cleanUp } from './helpers/proxy-cleanup.ts';
import { type Certificate, createCertificate, startEchoTls } from './helpers/tls.ts';
import { isMissing } from './helpers/tools.ts';

const run = promisify(execFile);

const noOpenssl = isMissing('openssl', 'version');

/** A tool's environment, without the proxies of the machine that runs the tests. */
const env = { PATH: process.env.PATH };

interface Tool {
  /** Posts `ping`. @returns status and body, of the proxy's own answer where it refuses a tunnel. */
  post(url: string, proxy: TestProxy, certificate?: Certificate): Promise<[number, string]>;
}

const curl: Tool = {
  async post(url, proxy, certificate) {
    const trust = certificate ? ['--cacert', certificate.path] : [];
    const format = '%{http_connect} %{http_code}';
    const { stdout, stderr } = await run(
      'curl',
      ['-sv', '-x', proxy.url, '-d', 'ping', '-w', format, ...trust, url],
      { env },
    ).catch((error: { stdout: string; stderr: string }) => error);
    const [, body = '', connected, code] = /^(.*?)(\d{3}) (\d{3})$/s.exec(stdout) ?? [];
    if (code !== '000') return [Number(code), body];
    // A refused tunnel's text is not shown by curl; its fields are.
    return [Number(connected), stderr];
  },
};

const undici: Tool = {
  async post(url, proxy, certificate) {
    const dispatcher = new ProxyAgent({
      uri: proxy.url,
      proxyTunnel: url.startsWith('https:'),
      ...(certificate ? { requestTls: { ca: certificate.cert } } : {}),
    });
    cleanUp(() => dispatcher.destroy());
    try {
      const { statusCode, body } = await request(url, { method: 'POST', body: 'ping', dispatcher });
      return [statusCode, await body.text()];
    } catch (error) {
      return [Number(/\((\d{3})\)/.exec(String(error))?.[1]), String(error)];
    }
  },
};

const PYTHON = `
import ssl, sys, urllib.request, urllib.error
proxy, url, cafile = sys.argv[1:4]
context = ssl.create_default_context(cafile=cafile or None)
opener = urllib.request.build_opener(
    urllib.request.ProxyHandler({'http': proxy, 'https': proxy}),
    urllib.request.HTTPSHandler(context=context))
try:
    answer = opener.open(url, b'ping')
    print(answer.status, answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
except urllib.error.URLError as error:
    print(str(error.reason).split(': ')[1].split(' ')[0], error.reason)
`;

const python: Tool = {
  async post(url, proxy, certificate) {
    const parameters = [proxy.url, url, certificate?.path ?? ''];
    const { stdout } = await run('python3', ['-c', PYTHON, ...parameters], { env });
    const [, status, text = ''] = /^(\d{3}) (.*)\n$/s.exec(stdout) ?? [];
    return [Number(status), text];
  },
};

describe.each([
  ['curl', curl, isMissing('curl')],
  ["undici's ProxyAgent", undici, false],
  ["Python's urllib", python, isMissing('python3')],
] as const)('%s', (_, tool, missing) => {
  test.skipIf(missing || noOpenssl)(
    'gets through by HTTPS in a tunnel (needs openssl)',
    async () => {
      const certificate = createCertificate();
      const { port } = await startEchoTls(certificate);
      const proxy = await startProxyTo(port);
      const url = `https://origin.test:${port}/path`;
      expect(await tool.post(url, proxy, certificate)).toEqual([200, 'POST /path ping']);
      expect(proxy.decisions()).toMatchObject([
        { decision: 'allow', via: 'connect', method: 'CONNECT', host: 'origin.test', port },
      ]);
    },
  );

  test.skipIf(missing)('gets through by plain HTTP', async () => {
    const { port } = await startHttp((request, response) => {
      response.write(`${request.method} ${request.url} `);
      request.pipe(response);
    });
    const proxy = await startProxyTo(port);
    const url = `http://origin.test:${port}/path`;
    expect(await tool.post(url, proxy)).toEqual([200, 'POST /path ping']);
    expect(proxy.decisions()).toMatchObject([
      { decision: 'allow', via: 'http', method: 'POST', host: 'origin.test', port },
    ]);
  });

  test.skipIf(missing)('is denied a tunnel', async () => {
    const proxy = await startProxyTo(443);
    const [status, text] = await tool.post('https://evil.test/', proxy);
    expect(status).toBe(403);
    if (tool === curl) expect(text).toContain('X-Whisper-Proxy-Reason: not_allowed');
    expect(proxy.decisions()).toMatchObject([{ reason: 'not_allowed', host: 'evil.test' }]);
  });

  test.skipIf(missing)('is denied plain HTTP, and told the line to add', async () => {
    const proxy = await startProxyTo(443);
    const [status, text] = await tool.post('http://evil.test/', proxy);
    expect(status).toBe(403);
    expect(text).toBe(
      'whisper-proxy: evil.test:80 is not on the allowlist. ' +
        'To allow it, add to whisper-proxy.env: EGRESS_ALLOW_EVIL_TEST_80=evil.test:80\n',
    );
    expect(proxy.decisions()).toMatchObject([{ reason: 'not_allowed', method: 'POST' }]);
  });
});
