import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Lab } from '../helpers/lab.ts';
import { fromSessionManager, writeUnits } from '../helpers/stack.ts';

/** The setup that whisper-proxy is there to end, so that the tests are known to test. */
export function oldSetup(lab: Lab): void {
  describe('the old setup: session-manager on two networks, whisper on one that is internal', () => {
    beforeAll(async () => {
      await writeUnits(lab, 'units');
      await writeUnits(lab, 'old-units');
      await lab.systemctl('daemon-reload');
      await lab.systemctl('start', 'session-manager');
    });

    afterAll(async () => {
      await lab.systemctl('stop', 'session-manager', 'whisper', 'mongo', 'whisper-net-network');
      await lab.sh(`podman network rm --force systemd-whisper-net; rm ${lab.units}/whisper*`);
      await writeUnits(lab, 'units');
    });

    const resolves = lab.backend === 'netavark';
    test(`whisper ${resolves ? 'resolves' : 'does not resolve'} on ${lab.backend}`, async () => {
      const { status } = await lab.attempt(fromSessionManager('getent hosts whisper'));
      expect(status).toBe(resolves ? 0 : 2);
    });
  });
}
