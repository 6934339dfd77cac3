import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ask, startIngress } from './helpers/ingress.ts';
import { startCanned } from './helpers/upstream.ts';

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

/** The names and values that reach a client of these fields. */
async function passed(fields: string[]): Promise<string[]> {
  const { address } = await startCanned(
    `HTTP/1.1 200 OK\r\n${fields.map((field) => `${field}\r\n`).join('')}Content-Length: 0\r\n\r\n`,
  );
  const { origin } = await startIngress({ UPSTREAM: address });
  const { rawHeaders } = await ask(origin);
  const all: string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]?.toLowerCase() ?? '';
    if (!['content-length', 'date', 'connection', 'keep-alive'].includes(name)) {
      all.push(`${name}: ${rawHeaders[index + 1]}`);
    }
  }
  return all;
}

describe('fields of whisper’s answer', () => {
  test('pass, if they are known to be harmless', async () => {
    const fields = [
      'content-type: audio/wav',
      'content-disposition: attachment; filename="a.txt"',
      'content-language: nn',
      'cache-control: no-store',
      'etag: "x"',
      'vary: Origin',
      'set-cookie: a=1; Path=/',
      'set-cookie: b=2',
      'www-authenticate: Basic realm="whisper"',
      'access-control-allow-origin: http://visp.example',
      'retry-after: 3',
      'server: uvicorn',
      'x-process-time: 0.5',
      'x-gradio-version: 5',
      'x-request-id: 1',
      'x-content-type-options: nosniff',
      'x-frame-options: DENY',
      'location: /elsewhere',
    ];
    expect(await passed(fields)).toEqual(fields);
  });

  test.each([
    'Content-Security-Policy: default-src *; report-uri http://evil.example/',
    'Content-Security-Policy-Report-Only: default-src *; report-to evil',
    'X-Content-Security-Policy: report-uri http://evil.example/',
    'X-WebKit-CSP: report-uri http://evil.example/',
    'X-XSS-Protection: 1; report=http://evil.example/',
    'Link: <http://evil.example/>; rel=preload',
    'SourceMap: http://evil.example/',
    'X-SourceMap: http://evil.example/',
    'Speculation-Rules: "http://evil.example/"',
    'NEL: {}',
    'Report-To: {}',
    'Reporting-Endpoints: a="http://evil.example/"',
    'Expect-CT: report-uri="http://evil.example/"',
    'Public-Key-Pins: report-uri="http://evil.example/"',
    'Alt-Svc: h2="evil.example:443"',
    'Strict-Transport-Security: max-age=1',
    'Content-Location: http://evil.example/',
    'Content-Base: http://evil.example/',
    'URI: http://evil.example/',
    'P3P: policyref="http://evil.example/"',
    'Clear-Site-Data: "*"',
    'Service-Worker-Allowed: /',
    'Accept-CH: Sec-CH-UA-Model',
    'Origin-Trial: x',
    'Document-Policy: x',
    'Integrity-Policy: endpoints=(evil)',
    'Cross-Origin-Opener-Policy: same-origin; report-to="evil"',
    'X-Accel-Redirect: /secret',
    'X-Sendfile: /etc/passwd',
    'X-Reproxy-URL: http://evil.example/',
    'X-Pingback: http://evil.example/',
    'X-Forwarded-Host: evil.example',
    'X-Whisper-Proxy-Anything: 1',
    'WWW-Authenticate: Bearer resource_metadata="http://evil.example/"',
    'WWW-Authenticate: Digest realm="x", domain="http://evil.example/"',
    'Upgrade-Insecure-Navigation: 1',
    'Not-Yet-Invented: http://evil.example/',
  ])('end here, if a client could be steered by them, or nobody knows: %s', async (field) => {
    expect(await passed([field, 'X-Other: 2'])).toEqual(['x-other: 2']);
  });
});

test('the README says that a field that is not known to be harmless is dropped', () => {
  expect(README.replace(/\s+/g, ' ')).toMatch(
    /Fields of an answer that are not known to be harmless/,
  );
});
