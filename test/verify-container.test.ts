import { describe, expect, onTestFinished, test } from 'vitest';
import {
  ALLOWED,
  ALLOWED_NAME,
  AS_CONTAINER,
  canLoadProfile,
  canVerify,
  PROXY,
  VerifyNetwork,
} from './helpers/verify-network.ts';

function sixty(): string[] {
  return Array.from({ length: 60 }, (_, index) => ['--also', `10.89.8.${index + 1}`]).flat();
}

describe.skipIf(!canVerify() || !canLoadProfile())(
  'verify as whisper is run, its seccomp profile included (needs what verify needs, python3, libseccomp)',
  { timeout: 120_000 },
  () => {
    test.concurrent('all ways out are closed, and what a running whisper stands in the way of is told', async ({
      expect,
      onTestFinished,
    }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      await network.answerTls('host', ALLOWED);
      await network.serve();
      await network.lock();
      const options = ['--allowed', ALLOWED_NAME];
      const before = await network.verify('whisper', AS_CONTAINER, options);
      expect(before.stdout).toMatch(
        /\n\n106 ways out tried, all closed; 6 things that must work do\.\n$/,
      );
      expect(before).toMatchObject({ status: 0, stderr: '' });

      await network.answer('whisper', '0.0.0.0', 7860);
      const during = await network.verify('whisper', AS_CONTAINER, options);
      expect(during.stdout).toMatch(
        /\n\n105 ways out tried, all closed; 1 cannot be tried while whisper runs: TCP to the proxy from whisper's own port 7860; 6 things that must work do\.\n$/,
      );
      expect(during.status).toBe(0);
    });

    // 65520 is what rootless podman 5.8 sets; 65535 is the most that a veth takes.
    test.each([65_507, 65_520, 65_535])(
      'an MTU of %i, which hardly a datagram exceeds: it is tried all the same',
      async (mtu) => {
        const network = new VerifyNetwork();
        onTestFinished(() => network.remove());
        await network.serve();
        await network.lock();
        network.setMtu(mtu);
        const run = await network.verify('whisper', AS_CONTAINER, []);
        expect(run.stdout).toMatch(/closed +UDP in fragments/);
        expect(run).toMatchObject({ status: 0, stderr: '' });
      },
    );

    test.concurrent('sixty other containers, and a gate that refuses: no refusal is left out', async ({
      expect,
      onTestFinished,
    }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      await network.serve();
      await network.lock();
      const run = await network.verify('whisper', AS_CONTAINER, sixty());
      expect(run.stdout).not.toMatch(/OPEN|UNKNOWN/);
      expect(run).toMatchObject({ status: 0, stderr: '' });
    });

    test.concurrent('sixty other containers, and a kernel that cannot refuse: it ends well, in time', async ({
      expect,
      onTestFinished,
    }) => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      await network.answer('host', ALLOWED, 443);
      await network.serve();
      await network.lock();
      // Then nobody answers, and each attempt takes as long as it may.
      network.relax(`oif != "lo" ip daddr != ${PROXY} drop`);
      const since = performance.now();
      const run = await network.verify('whisper', AS_CONTAINER, [...sixty(), '--allowed', ALLOWED]);
      expect(performance.now() - since).toBeLessThan(60_000);
      expect(run.stdout).not.toMatch(/OPEN|UNKNOWN/);
      expect(run).toMatchObject({ status: 0, stderr: '' });
    });
  },
);
