import { describe, test } from 'vitest';
import { isAsWanted, type Result } from '../src/verify/probe.ts';
import {
  ALLOWED,
  ALLOWED_NAME,
  AS_NOBODY,
  AS_WHISPER,
  canVerify,
  OTHER,
  PROXY,
  UNLOCKED,
  VerifyNetwork,
} from './helpers/verify-network.ts';

/** What nothing closes but the seccomp profile; verify-container.test.ts has that too. */
const CLOSED_BY_THE_PROFILE = [
  'to the hypervisor (AF_VSOCK)',
  'all others but UNIX, INET, INET6 and NETLINK',
  'netlink of all kinds but NETLINK_ROUTE',
  'a user namespace',
  'a user namespace, by clone',
  'clone3, whose flags no filter can see',
  'keyrings: add_key',
  'keyrings: request_key',
  'keyrings: keyctl',
  'bpf',
  'io_uring',
  'userfaultfd',
  'perf_event_open',
  'mounts by file descriptor (fsopen and its kin)',
  'system calls without a filter',
];

/** What some kernels were built without: there it cannot be shown open. */
const NOT_IN_EVERY_KERNEL = new Map([
  ['SCTP', /^(proxy|gateway|, )+: E(PROTO|SOCKT)NOSUPPORT at socket$/],
  ['DCCP', /^(proxy|gateway|, )+: E(PROTO|SOCKT)NOSUPPORT at socket$/],
  ['another kernel (kexec)', /^[a-z_, ]+: ENOSYS$/],
  ['kernel modules', /^[a-z_, ]+: ENOSYS$/],
  ['to the hypervisor (AF_VSOCK)', /^EAFNOSUPPORT$/],
  ['all others but UNIX, INET, INET6 and NETLINK', /^58 of them: EAFNOSUPPORT$/],
]);

const LEFT = 'it left: nobody answered';

const isWrong = (result: Result) => !isAsWanted(result);
const names = (results: Result[]) => results.map(({ name }) => name);
/** What is wrong, beside what is known to be. */
const beside = (known: string[], results: Result[]) =>
  results
    .filter((result) => isWrong(result) && !known.includes(result.name))
    .map(({ name, detail }) => `${name}, ${detail}`);

describe.skipIf(!canVerify())(
  'verify from whisper (needs root, iproute2, nft, setpriv, perl, IPv6)',
  { timeout: 300_000 },
  () => {
    const OPTIONS = ['--also', OTHER, '--also', `${ALLOWED}:8443`, '--allowed', ALLOWED_NAME];

    test.concurrent('locked, all ways out are closed but those of the profile, and what must work does', async ({
      expect,
      onTestFinished,
    }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      await network.answerTls('host', ALLOWED);
      await network.serve();
      await network.lock();
      const report = await network.report('whisper', AS_WHISPER, OPTIONS);
      expect(report).toMatchObject({ status: 1, from: 'whisper', ok: false });
      const wrong = report.probes.filter(isWrong);
      expect(wrong.filter(({ want, state }) => want !== 'closed' || state !== 'open')).toEqual([]);
      expect(names(wrong).filter((name) => !CLOSED_BY_THE_PROFILE.includes(name))).toEqual([]);
      expect(report.probes.filter(({ want }) => want === 'open')).toMatchObject([
        { name: 'sockets that whisper needs: UNIX, INET, NETLINK', state: 'open' },
        { name: `the proxy answers on ${PROXY}:3128`, state: 'open' },
        { name: 'the name server answers whisper-proxy', state: 'open' },
        { name: `${ALLOWED_NAME}:443 is let through`, state: 'open', detail: '200' },
        { name: `the name server answers ${ALLOWED_NAME}`, detail: `NOERROR ${PROXY}` },
        { name: `${ALLOWED_NAME}:443 without CONNECT`, detail: 'a TLS server answered' },
      ]);
      const keys = ['group', 'name', 'want', 'state', 'detail'];
      for (const probe of report.probes) expect(Object.keys(probe)).toEqual(keys);

      // And while whisper listens, to another user.
      await network.answer('whisper', '0.0.0.0', 7860);
      const second = await network.report('whisper', AS_NOBODY, OPTIONS);
      expect(names(second.probes.filter(isWrong))).toEqual(names(wrong));
      expect(second.probes.find(({ name }) => name.includes('own port 7860'))).toMatchObject({
        state: 'untried',
        detail: 'whisper listens on it, and then the kernel lets nobody else begin there',
      });
    });

    test.concurrent('with every capability, the rules alone keep what is IP in', async ({
      expect,
      onTestFinished,
    }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      await network.serve();
      await network.lock();
      const { probes } = await network.report('whisper', UNLOCKED, ['--also', OTHER]);
      const ip = probes.filter(
        ({ group }) => !['socket families', 'system calls', 'privileges'].includes(group),
      );
      expect(ip.filter(isWrong)).toEqual([]);
      expect(probes.find(({ name }) => name.includes('from a raw socket'))).toMatchObject({
        detail: 'proxy, gateway, public: EPERM at send',
      });
      expect(names(probes.filter(isWrong))).toContain('packet sockets (AF_PACKET)');
    });

    test.concurrent('a rule too many shows, also where the answer would be dropped', async ({
      expect,
      onTestFinished,
    }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      await network.serve();
      await network.lock();
      network.relax('tcp dport 853 accept');
      network.relax('udp dport 123 accept');
      network.relax(`ip daddr ${PROXY} tcp dport 8080 accept`);
      network.relax(`ip daddr ${PROXY} ip hdrlength != 5 accept`);
      network.relax('tcp sport 7860 accept');
      const { probes } = await network.report('whisper', AS_WHISPER);
      expect(beside(CLOSED_BY_THE_PROFILE, probes)).toEqual([
        'UDP to the gateway 10.89.77.1, 123: it was sent',
        'UDP to 1.1.1.1, 123: it was sent',
        'UDP to 8.8.8.8, 123: it was sent',
        `DNS over TCP to 10.89.77.1, 853: ${LEFT}`,
        `DNS over TCP to 1.1.1.1, 853: ${LEFT}`,
        `DNS over TCP to 8.8.8.8, 853: ${LEFT}`,
        `the proxy's other ports, TCP, 8080: ${LEFT}`,
        "TCP to the proxy from whisper's own port 7860, connected",
        'IP options, record route to the proxy, router alert to the proxy: it was sent',
      ]);
    });

    test.concurrent('unlocked, with a proxy that refuses nothing, every probe shows open', async ({
      expect,
      onTestFinished,
    }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      // As a host beyond the proxy would answer: a status alone is no refusal.
      await network.answer('proxy', PROXY, 3128, 404);
      await network.answer('proxy', PROXY, 80, 404);
      await network.answerTls('proxy', PROXY);
      await network.nameEverything(PROXY);
      const { status, ok, probes } = await network.report('whisper', UNLOCKED, ['--also', OTHER]);
      expect({ status, ok }).toEqual({ status: 1, ok: false });
      const open = probes.filter(({ state }) => state === 'open');
      expect(open.length).toBeGreaterThan(100);
      // It is not the proxy that has the name.
      expect(
        probes.find(({ name }) => name === 'the name server answers whisper-proxy'),
      ).toMatchObject({ state: 'closed', detail: 'NOERROR 192.0.2.1' });
      const rest = probes.filter(({ want, state }) => want === 'closed' && state !== 'open');
      expect(
        rest.filter(({ name, state, detail }) => {
          return state !== 'closed' || !NOT_IN_EVERY_KERNEL.get(name)?.test(detail);
        }),
      ).toEqual([]);
    });

    test.concurrent('a proxy that is not there, and packets that vanish: it ends in time, and fails', async ({
      expect,
      onTestFinished,
    }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      network.silence();
      const since = performance.now();
      const options = ['--also', `${OTHER}:80`, '--allowed', ALLOWED_NAME];
      const { status, stdout } = await network.verify('whisper', AS_WHISPER, options);
      expect(performance.now() - since).toBeLessThan(120_000);
      expect(status).toBe(1);
      const summary = stdout.trimEnd().split('\n').at(-1);
      expect(summary).toContain(
        `does not work: the proxy answers on ${PROXY}:3128; the name server answers whisper-proxy; models.example:443 is let through; the name server answers models.example; models.example:443 without CONNECT. could not be tried: CONNECT to`,
      );
      for (const name of [
        'CONNECT to whisper',
        'TLS to no name',
        'HTTP to whisper',
        'names: data',
      ]) {
        expect(stdout).toMatch(new RegExp(`^ {2}UNKNOWN {2}${name} .*no proxy: no answer`, 'm'));
      }
      expect(stdout).not.toContain('\u001b');
    });

    test.concurrent('a tunnel that may carry what it likes shows', async ({
      expect,
      onTestFinished,
    }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      await network.answerTls('host', ALLOWED);
      await network.serve({ EGRESS_REQUIRE_SNI: 'false' });
      await network.lock();
      const { probes } = await network.report('whisper', AS_WHISPER, OPTIONS);
      expect(beside(CLOSED_BY_THE_PROFILE, probes)).toEqual([
        `another server in a tunnel to ${ALLOWED_NAME}:443, example.com, no name: a TLS server answered`,
        `something else than TLS in a tunnel to ${ALLOWED_NAME}:443, SSH: something answered that is no TLS server`,
      ]);
    });

    test.concurrent('a proxy that only reports lets names through, and that shows', async ({
      expect,
      onTestFinished,
    }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      await network.serve({ EGRESS_MODE: 'report' });
      await network.lock();
      const { probes } = await network.report('whisper', AS_WHISPER);
      const open = probes.filter(({ state, group }) => state === 'open' && group.startsWith('thr'));
      expect(names(open)).toEqual(
        expect.arrayContaining([
          'CONNECT to a name that does not exist',
          'HTTP to a name that does not exist',
          'names: a look-up that is passed on',
          'names: data in a long name',
          'names: other records than addresses',
        ]),
      );
      // It may have been tried, and may have not.
      expect(probes.find(({ name }) => name === 'TLS to a name that exists')).toMatchObject({
        state: 'unknown',
        detail: 'example.com: ECONNRESET, without a word',
      });
    });

    test.concurrent('doors that are off are closed, but then names are of no use', async ({
      expect,
      onTestFinished,
    }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      await network.serve({ EGRESS_TLS_LISTEN: '', EGRESS_HTTP_LISTEN: '', DNS_LISTEN: '' });
      await network.lock();
      const { probes } = await network.report('whisper', AS_WHISPER);
      const off = probes.filter(({ detail }) => detail.endsWith('nothing listens there'));
      expect(off).toHaveLength(16);
      expect(beside(CLOSED_BY_THE_PROFILE, probes)).toEqual([
        'the name server answers whisper-proxy, no answer: nothing came; is DNS_LISTEN set?',
      ]);
    });

    test.concurrent('a container that egress does not know has not shown that the proxy works', async ({
      expect,
      onTestFinished,
    }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      await network.serve({ EGRESS_CLIENTS: '10.89.77.9' });
      const { probes } = await network.report('whisper', AS_WHISPER);
      expect(probes.find(({ name }) => name.startsWith('the proxy answers'))).toMatchObject({
        state: 'closed',
        detail: expect.stringContaining('EGRESS_CLIENTS'),
      });
    });

    test.concurrent('what it cannot do, it says', async ({ expect, onTestFinished }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      const run = (...args: string[]) => network.verify('whisper', [], args);

      const proxy = await run('--proxy', 'whisper-proxy');
      expect(proxy).toMatchObject({ status: 2, stdout: '' });
      expect(proxy.stderr).toMatch(
        /^whisper-proxy: .*'whisper-proxy' is invalid\. It must be an IPv4 address/,
      );
      const also = await run('--also', OTHER, '--also', '10.0.0.5:99999');
      expect(also.status).toBe(2);
      expect(also.stderr).toMatch(/'10\.0\.0\.5:99999' is invalid\. It must be an address, or one/);
      const allowed = await run('--allowed', 'https://hf.co');
      expect(allowed.status).toBe(2);
      expect(allowed.stderr).toMatch(/'https:\/\/hf\.co' is invalid\. It must be a host/);
      expect((await run('--from', 'mars')).status).toBe(2);
      expect((await run('--every')).status).toBe(2);
      const mixed = await run('--ingress-allowed');
      expect(mixed.status).toBe(2);
      expect(mixed.stderr).toContain('--ingress-allowed and --whisper need --from visp-net');
      const help = await run('--help');
      expect(help.status).toBe(0);
      expect(help.stdout).toMatch(/1\.1\.1\.1, 8\.8\.8\.8/);
      expect(help.stdout).toMatch(/told as\nuntried, and is no failure/);

      const nowhere = await network.report('whisper', ['unshare', '--net']);
      expect(nowhere).toMatchObject({ status: 1, ok: false, probes: [{ state: 'unknown' }] });
      expect(nowhere.probes[0]?.detail).toContain('--network container:whisper-gate');
    });
  },
);
