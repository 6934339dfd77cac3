import { describe, test } from 'vitest';
import {
  ALLOWED,
  AS_CONTAINER,
  canLoadProfile,
  canVerify,
  PROXY,
  VerifyNetwork,
} from './helpers/verify-network.ts';

describe.skipIf(!canVerify() || !canLoadProfile())(
  'verify as whisper is run, its seccomp profile included (needs what verify needs, python3, libseccomp)',
  { timeout: 120_000 },
  () => {
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
      const containers = Array.from({ length: 60 }, (_, index) => `10.89.8.${index + 1}`);
      const also = containers.flatMap((address) => ['--also', address]);
      const since = performance.now();
      const run = await network.verify('whisper', AS_CONTAINER, [...also, '--allowed', ALLOWED]);
      expect(performance.now() - since).toBeLessThan(60_000);
      expect(run.stdout).not.toMatch(/OPEN|UNKNOWN/);
      expect(run).toMatchObject({ status: 0, stderr: '' });
    });
  },
);
