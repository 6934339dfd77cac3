import { describe, test } from 'vitest';
import type { Result } from '../src/verify/probe.ts';
import {
  ALLOWED,
  AS_NOBODY,
  canVerify,
  OTHER,
  PROXY,
  VerifyNetwork,
  VISP_CLIENT,
} from './helpers/verify-network.ts';

const FROM = ['--from', 'visp-net'];
const INGRESS = 'whisper through http://whisper:7860';
const wrong = (probes: Result[]) => probes.filter(({ state, want }) => state !== want);

describe.skipIf(!canVerify())(
  'verify from visp-net (needs root, iproute2, nft, setpriv, perl, IPv6)',
  { timeout: 300_000 },
  () => {
    test.concurrent('an ordinary container reaches nothing, and ingress tells it so', async ({
      expect,
      onTestFinished,
    }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      await network.answer('host', ALLOWED, 443);
      await network.serve();
      await network.lock();
      const run = await network.verify('visp', AS_NOBODY, [...FROM, '--allowed', ALLOWED]);
      expect(run).toMatchObject({ status: 0, stderr: '' });
      expect(run.stdout).toMatch(/\n\n18 ways out tried, all closed\.\n$/);
      expect(run.stdout).toMatch(
        /^ {2}closed {3}egress at 10\.89\.77\.2, CONNECT +403 client_not_allowed$/m,
      );
      expect(run.stdout).toMatch(/^ {2}closed {3}whisper through .* +403 client_not_allowed$/m);

      const claimed = await network.report('visp', AS_NOBODY, [...FROM, '--ingress-allowed']);
      expect(claimed).toMatchObject({ status: 1, from: 'visp-net', ok: false });
      expect(wrong(claimed.probes)).toMatchObject([
        { name: INGRESS, want: 'open', state: 'closed' },
      ]);
    });

    test.concurrent('one that INGRESS_CLIENTS names reaches whisper, nothing through it, and no status page', async ({
      expect,
      onTestFinished,
    }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      await network.serve({
        INGRESS_CLIENTS: VISP_CLIENT,
        // As where the status page is published.
        ADMIN_LISTEN: '0.0.0.0:9090',
        ADMIN_TOKEN: '0123456789abcdef',
      });
      await network.lock();
      await network.answer('whisper', '0.0.0.0', 7860);
      const args = [...FROM, '--also', `${OTHER}:80`];
      const { status, probes } = await network.report('visp', AS_NOBODY, [
        ...args,
        '--ingress-allowed',
      ]);
      expect(wrong(probes)).toEqual([]);
      expect(status).toBe(0);
      expect(probes.find(({ name }) => name === INGRESS)).toMatchObject({ detail: '200' });
      const admin = probes.filter(({ name }) => name.startsWith('admin at '));
      expect(admin.map(({ detail }) => detail)).toEqual(Array(2).fill('it wants ADMIN_TOKEN'));

      const surprised = await network.report('visp', AS_NOBODY, args);
      expect(surprised.status).toBe(1);
      expect(wrong(surprised.probes)).toMatchObject([{ name: INGRESS, state: 'open' }]);
    });

    test.concurrent('a proxy that serves everybody, and whisper without a gate: all of it shows', async ({
      expect,
      onTestFinished,
    }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      const ports = [80, 443, 3128, 7860, 9090];
      await Promise.all(ports.map((port) => network.answer('proxy', '0.0.0.0', port)));
      await network.nameEverything('0.0.0.0');
      const { status, probes } = await network.report('visp', AS_NOBODY, FROM);
      expect(status).toBe(1);
      expect(probes.filter(({ state }) => state !== 'open')).toEqual([]);
    });

    test.concurrent('a real proxy that has no EGRESS_CLIENTS shows at every door', async ({
      expect,
      onTestFinished,
    }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      await network.serve({ EGRESS_CLIENTS: '' });
      await network.lock();
      const { probes } = await network.report('visp', AS_NOBODY, FROM);
      expect(wrong(probes).map(({ name, detail }) => `${name}, ${detail}`)).toEqual([
        `egress at ${PROXY}, CONNECT, 403 not_allowed`,
        `egress at ${PROXY}, plain HTTP, 403 not_allowed`,
        `egress at ${PROXY}, port 80, 403 not_allowed`,
        `egress at ${PROXY}, port 443, access_denied`,
        `DNS at ${PROXY}, example.com: NXDOMAIN, 0 records`,
        `DNS over TCP at ${PROXY}, example.com: NXDOMAIN, 0 records`,
      ]);
    });

    test.concurrent('without a route to whisper-net, it is not reached, and that is all', async ({
      expect,
      onTestFinished,
    }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      await network.serve();
      network.strand();
      const run = await network.verify('visp', AS_NOBODY, FROM);
      expect(run).toMatchObject({ status: 0, stderr: '' });
      expect(run.stdout).toMatch(
        /^ {2}closed {3}whisper itself, 10\.89\.77\.3, UDP +ENETUNREACH$/m,
      );
    });

    test.concurrent('without an answer from ingress, nothing is shown', async ({
      expect,
      onTestFinished,
    }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      const { status, probes } = await network.report('visp', AS_NOBODY, FROM);
      expect(status).toBe(1);
      expect(probes.find(({ name }) => name === INGRESS)).toMatchObject({
        state: 'unknown',
        detail: 'no answer from ingress: ECONNREFUSED',
      });
    });
  },
);
