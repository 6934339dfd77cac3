import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Lab } from '../helpers/lab.ts';
import { answers, fromSessionManager, install, OURS, writeUnits } from '../helpers/stack.ts';

/** From the setup that whisper-proxy is there to end, by the README's steps, to the locked one. */
export function migration(lab: Lab): void {
  describe('the old setup: session-manager on two networks, whisper on one that is internal', () => {
    beforeAll(async () => {
      await writeUnits(lab, 'units');
      await writeUnits(lab, 'old-units');
      await lab.sh('mkdir -p ~/tries');
      await lab.systemctl('daemon-reload');
      await lab.systemctl('start', 'session-manager', 'apache');
    });

    const resolves = lab.backend === 'netavark';
    test(`whisper ${resolves ? 'resolves' : 'does not resolve'} on ${lab.backend}`, async () => {
      const { status } = await lab.attempt(fromSessionManager('getent hosts whisper'));
      expect(status).toBe(resolves ? 0 : 2);
    });
  });

  describe('on the way to the new one', () => {
    test('install refuses a whisper that is not locked in, and changes nothing', async () => {
      const before = await lab.sh(`cd ${lab.units} && grep --recursive '' . | sort`);
      const { status, stdout, stderr } = await lab.attempt(install(lab));
      expect(status).toBe(1);
      expect(stderr).toContain('whisper would not be locked in');
      expect(stdout).toContain('+Network=container:whisper-gate');
      expect(await lab.sh(`cd ${lab.units} && grep --recursive '' . | sort`)).toBe(before);
    });

    test('its diff locks the unit, and it asks for the old network to go', async () => {
      await lab.sh(
        `(${install(lab)} --dry-run 2>/dev/null || true) | patch ${lab.units}/whisper.container`,
      );
      const { status, stderr } = await lab.attempt(install(lab));
      expect(status).toBe(1);
      expect(stderr).toContain('whisper-net.network has Subnet=(none)');
      await lab.sh(`rm ${lab.units}/whisper-net.network`);
      const again = await lab.attempt(install(lab));
      // As it stands there: whoever is on the network goes, session-manager included.
      const commands = again.stderr.match(/^ {2}(systemctl|podman) .*$/gm) ?? [];
      expect(commands.at(-1)).toBe('  podman network rm systemd-whisper-net');
      await lab.sh(commands.join(' && '));
    });

    test('with the old network gone, it installs, and whisper is found', async () => {
      await lab.systemctl('stop', 'apache', 'session-manager');
      await lab.sh('rm -f ~/tries/log');
      await writeUnits(lab, 'units');
      const said = await lab.sh(install(lab));
      expect(said).toContain('whisper-proxy is healthy, and whisper-gate is locked');
      await lab.systemctl('start', 'apache');
      await answers(lab);
      await lab.until(`systemctl ${lab.scope} is-active --quiet ${OURS.join(' ')}`);
    });

    test('installing it again changes and restarts nothing', async () => {
      const run = `systemctl ${lab.scope} show --property InvocationID ${OURS.join(' ')}`;
      const before = await lab.sh(run);
      expect(await lab.sh(install(lab))).toContain('are up to date');
      expect(await lab.sh(run)).toBe(before);
    });

    test('the shipped whisper.container, with an image and a folder filled in, does as well', async () => {
      const shipped = readFileSync(
        new URL('../../../quadlets/whisper.container', import.meta.url),
        'utf8',
      );
      const theirs = (
        await lab.sh(`grep -E '^(Image|Exec|Volume)=' ${lab.units}/whisper.container`)
      ).trim();
      await lab.write(
        'whisper.container',
        shipped.replace(/^Image=.*/m, () => theirs),
      );
      await lab.systemctl('daemon-reload');
      await lab.systemctl('restart', 'whisper');
      await answers(lab);
      expect(await lab.sh(install(lab))).toContain('are up to date');
    });
  });
}
