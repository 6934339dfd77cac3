import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { canMakeNamespaces } from './helpers/ingress-namespaces.ts';
import { soon } from './helpers/proxy.ts';
import { hasPythonModule, isMissing } from './helpers/tools.ts';
import { PROXY, WhisperPlace } from './helpers/whisper-place.ts';

const noNamespaces = !canMakeNamespaces() || isMissing('openssl', 'version');

/** Asks by urllib, and prints the answer or what went wrong. */
const PYTHON_GET = `
import ssl, sys, urllib.error, urllib.request
context = ssl.create_default_context(cafile=sys.argv[2])
try:
    print(urllib.request.urlopen(sys.argv[1], context=context).read().decode())
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
except urllib.error.URLError as error:
    print(error.reason)
`;
/** Connects to one name, and asks for another by SNI. */
const PYTHON_SNI = `
import socket, ssl, sys
context = ssl._create_unverified_context()
try:
    context.wrap_socket(socket.create_connection((sys.argv[1], 443)), server_hostname=sys.argv[2])
    print('shaken hands')
except ssl.SSLError as error:
    print(error.reason)
`;
/** As huggingface_hub before 1.0 does: it looks into its cache after a ConnectionError, and not after an SSLError. */
const REQUESTS_GET = `
import requests, sys
try:
    print(requests.get(sys.argv[1]).text)
except (requests.exceptions.SSLError, requests.exceptions.ProxyError) as error:
    print('for good', error)
except requests.exceptions.ConnectionError as error:
    print('for now')
`;
/** The same through a tunnel. */
const PYTHON_TUNNEL = `
import socket, ssl, sys
tunnel = socket.create_connection(('${PROXY}', 3128))
tunnel.sendall(b'CONNECT origin.test:443 HTTP/1.1\\r\\nHost: origin.test:443\\r\\n\\r\\n')
assert b' 200 ' in tunnel.recv(4096)
try:
    ssl._create_unverified_context().wrap_socket(tunnel, server_hostname=sys.argv[1] or None)
    print('shaken hands')
except ssl.SSLError as error:
    print(error.reason)
`;
const FETCH = `
  fetch(process.argv[1]).then(
    async (answer) => console.log(answer.status, await answer.text()),
    (error) => console.log(error.cause?.code ?? error.message),
  );
`;

describe.skipIf(noNamespaces)(
  'a program that knows of no proxy (needs root, iproute2, openssl)',
  { timeout: 300_000 },
  () => {
    let place: WhisperPlace;
    const cleanUps: (() => void)[] = [];

    beforeAll(async () => {
      place = new WhisperPlace();
      cleanUps.push(() => place.remove());
      await place.start({
        EGRESS_ALLOW_MODELS: 'origin.test origin.test:80 neighbour.test:8080 gone.test',
        EGRESS_MAX_UPLOAD_MODELS: '64KiB',
      });
    });
    afterAll(() => {
      for (const cleanUp of cleanUps) cleanUp();
    });
    const reasons = (via: string) =>
      place
        .decisions()
        .filter((line) => line.via === via)
        .map(({ reason, host }) => `${reason} ${host}`);

    describe.skipIf(isMissing('curl'))('curl', () => {
      const curl = (...args: string[]) =>
        place.run(['curl', '-sS', '--max-time', '10', '--cacert', place.certificate.path, ...args]);

      test('downloads from an allowed host', async () => {
        const answer = await curl('https://origin.test/model');
        expect(answer).toMatchObject({ status: 0, stdout: 'GET origin.test/model ' });
        const decisions = place.decisions();
        expect(decisions).toContainEqual(
          expect.objectContaining({
            decision: 'allow',
            via: 'dns',
            host: 'origin.test',
            port: null,
          }),
        );
        expect(decisions).toContainEqual(
          expect.objectContaining({ decision: 'allow', via: 'tls', rule: 'MODELS origin.test' }),
        );
      });

      test('by plain HTTP too', async () => {
        expect((await curl('http://origin.test/x')).stdout).toBe('GET origin.test/x ');
      });

      test('with the proxy variables as well', async () => {
        const env = { https_proxy: `http://${PROXY}:3128` };
        const args = ['curl', '-sS', '--cacert', place.certificate.path, 'https://origin.test/y'];
        expect((await place.run(args, env)).stdout).toBe('GET origin.test/y ');
        expect(reasons('connect')).toContain('null origin.test');
      });

      test('finds no other host', async () => {
        const answer = await curl('https://evil.test/');
        expect(answer).toMatchObject({ status: 6, stderr: expect.stringContaining('evil.test') });
        expect(reasons('dns')).toContain('not_allowed evil.test');
      });

      test('is refused another host that it thinks it knows, by an alert and by a 403', async () => {
        const before = await place.settledReached();
        const known = ['--resolve', `evil.test:443:${PROXY}`, '--resolve', `evil.test:80:${PROXY}`];
        const tls = await curl(...known, 'https://evil.test/');
        expect(tls).toMatchObject({ status: 35, stderr: expect.stringContaining('access denied') });
        const http = await curl(...known, 'http://evil.test/');
        expect(http.stdout).toContain('EGRESS_ALLOW_EVIL_TEST_80=evil.test:80');
        expect(await place.settledReached()).toBe(before);
      });

      test('a name that is allowed on another port only resolves, and fails when it connects', async () => {
        const answer = await curl('https://neighbour.test/');
        expect(answer.status).toBe(35);
        expect(reasons('tls')).toContain('not_allowed neighbour.test');
      });

      test('an upload beyond the limit does not get through, a download does', async () => {
        const upload = ['-T', '-', 'https://origin.test/up'];
        const command = `head -c 100000 /dev/zero | curl -sS --max-time 10 --cacert ${place.certificate.path} ${upload.join(' ')}`;
        const { status } = await place.run(['sh', '-c', command]);
        expect(status).not.toBe(0);
        await soon(() => {
          const lines = place.decisions().filter(({ reason }) => reason === 'upload_limit');
          expect(lines).toMatchObject([
            { via: 'tls', host: 'origin.test', rule: 'MODELS origin.test' },
          ]);
          expect(lines[0]?.bytes_out).toBeLessThanOrEqual(65_536);
        });
        const plain = await place.run(['sh', '-c', command.replace('https:', 'http:')]);
        expect(plain.stdout).toContain('EGRESS_MAX_UPLOAD');
        expect((await curl('https://origin.test/')).status).toBe(0);
      });
    });

    describe.skipIf(isMissing('python3'))('Python', () => {
      const python = async (script: string, ...args: string[]) =>
        (await place.run(['python3', '-c', script, ...args])).stdout.trim();

      test('urllib downloads from an allowed host, and finds no other', async () => {
        const { path } = place.certificate;
        expect(await python(PYTHON_GET, 'https://origin.test/model', path)).toBe(
          'GET origin.test/model',
        );
        expect(await python(PYTHON_GET, 'http://origin.test/', path)).toBe('GET origin.test/');
        expect(await python(PYTHON_GET, 'https://evil.test/', path)).toMatch(/Name or service/);
      });

      test.skipIf(!hasPythonModule('requests'))(
        'requests takes an allowed host that is gone for a passing fault (needs requests)',
        async () => {
          const command = ['/usr/bin/python3', '-c', REQUESTS_GET, 'https://gone.test/'];
          expect((await place.run(command)).stdout).toBe('for now\n');
          expect(reasons('tls')).toContain('dns_error gone.test');
        },
      );

      test('ssl gets an alert for another name, and for none', async () => {
        expect(await python(PYTHON_SNI, 'origin.test', 'origin.test')).toBe('shaken hands');
        expect(await python(PYTHON_SNI, 'origin.test', 'evil.test')).toMatch(/ALERT_ACCESS_DENIED/);
        expect(await python(PYTHON_SNI, 'origin.test', '1.1.1.80')).toMatch(/UNRECOGNIZED_NAME/);
        expect(reasons('tls')).toContain('not_allowed evil.test');
        expect(reasons('tls')).toContain('no_sni null');
      });

      test('ssl in a tunnel must say the name that the tunnel is for', async () => {
        expect(await python(PYTHON_TUNNEL, 'origin.test')).toBe('shaken hands');
        expect(await python(PYTHON_TUNNEL, 'evil.test')).toMatch(/UNRECOGNIZED_NAME/);
        expect(place.decisions()).toContainEqual(
          expect.objectContaining({
            reason: 'sni_mismatch',
            host: 'origin.test',
            sni: 'evil.test',
          }),
        );
      });
    });

    test("Node's fetch downloads from an allowed host, and finds no other", async () => {
      const env = { NODE_EXTRA_CA_CERTS: place.certificate.path };
      const node = async (url: string) =>
        (await place.run([process.execPath, '-e', FETCH, url], env)).stdout.trim();
      expect(await node('https://origin.test/model')).toBe('200 GET origin.test/model');
      expect(await node('https://evil.test/')).toBe('ENOTFOUND');
    });

    test('openssl s_client shakes hands with the name, and gets an alert without', async () => {
      const connect = ['openssl', 's_client', '-connect', 'origin.test:443'];
      const named = await place.run([...connect, '-servername', 'origin.test']);
      expect(named.stdout).toContain('CN = origin.test');
      const unnamed = await place.run([...connect, '-noservername']);
      expect(unnamed).toMatchObject({
        status: 1,
        stderr: expect.stringContaining('unrecognized name'),
      });
      expect(reasons('tls')).toContain('no_sni null');
    });

    test.skipIf(isMissing('wget'))('wget downloads from an allowed host', async () => {
      const args = ['-qO-', `--ca-certificate=${place.certificate.path}`, 'https://origin.test/w'];
      expect((await place.run(['wget', ...args])).stdout).toBe('GET origin.test/w ');
    });

    test.skipIf(isMissing('ssh', '-V') || isMissing('nc', '-h'))(
      'ssh, pushed through a tunnel to port 443, gets nowhere (needs ssh, nc)',
      async () => {
        const before = await place.settledReached();
        const through = `ProxyCommand=nc -X connect -x ${PROXY}:3128 %h %p`;
        const options = ['-o', through, '-o', 'ConnectTimeout=5', '-o', 'StrictHostKeyChecking=no'];
        const { status } = await place.run(['ssh', ...options, '-p', '443', 'x@origin.test']);
        expect(status).toBe(255);
        expect(place.decisions()).toContainEqual(
          expect.objectContaining({
            ...{ decision: 'deny', reason: 'no_sni', error: 'not_tls' },
            ...{ via: 'connect', host: 'origin.test', bytes_out: 0 },
          }),
        );
        expect(await place.settledReached()).toBe(before);
      },
    );

    test.skipIf(isMissing('dig', '-v'))('dig sees what a look-up says', async () => {
      const dig = async (...args: string[]) =>
        (await place.run(['dig', '+noall', '+answer', '+comments', ...args])).stdout;
      expect(await dig('origin.test')).toMatch(
        /NOERROR[\s\S]*origin\.test\.\s+60\s+IN\s+A\s+10\.0\.0\.2/,
      );
      expect(await dig('+tcp', 'origin.test')).toMatch(/IN\s+A\s+10\.0\.0\.2/);
      expect(await dig('origin.test', 'AAAA')).toMatch(/NOERROR[\s\S]*ANSWER: 0/);
      expect(await dig('secret-recording.evil.test', 'TXT')).toMatch(/NXDOMAIN/);
      expect(await dig('whisper-proxy')).toMatch(/IN\s+A\s+10\.0\.0\.2/);
      expect(await dig('whisper-gate')).toMatch(/IN\s+A\s+10\.0\.0\.1/);
      expect(await dig('-x', PROXY)).toMatch(/PTR\s+whisper-proxy\./);
      expect(reasons('dns')).toContain('not_allowed secret-recording.evil.test');
    });
  },
);
