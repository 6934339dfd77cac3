import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Lab } from '../helpers/lab.ts';
import { answers, fromSessionManager, install, OURS, writeUnits } from '../helpers/stack.ts';

/** From the setup that whisper-proxy is there to end, by the README's steps, to the locked one. */
export function migration(lab: Lab): void {
  const cni = lab.backend === 'cni';
  const started = () => lab.sh('podman inspect --format {{.State.StartedAt}} mongo other');
  let before = '';

  describe('the old setup: session-manager on two networks, whisper on one of them', () => {
    beforeAll(async () => {
      await writeUnits(lab, 'units');
      await writeUnits(lab, 'old-units');
      await lab.sh('mkdir -p ~/tries');
      await lab.systemctl('daemon-reload');
      await lab.systemctl('start', 'session-manager', 'apache');
      // Neighbours that run all the while: so does the network namespace of a rootless user.
      await lab.sh('podman run --detach --name other --network podman guest sleep infinity');
      before = await started();
    });

    const found = async (name: string) =>
      (await lab.attempt(fromSessionManager(`getent hosts ${name}`))).status === 0;
    test(`session-manager finds ${cni ? 'either whisper or mongo, not both' : 'whisper and mongo'} on ${lab.backend}`, async () => {
      expect([await found('whisper'), await found('mongo')].sort()).toEqual([!cni, true]);
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
      if (cni) {
        // A network with the subnet of the new one, whose file somebody has deleted.
        const create = 'podman network create --subnet 10.89.77.0/24 gone';
        await lab.sh(`${create} && podman run --rm --network gone guest true`);
        await lab.sh('rm /etc/cni/net.d/gone.conflist ~/.config/cni/net.d/gone.conflist || true');
      }
      const again = await lab.attempt(install(lab));
      expect(again.stderr).toMatch(
        /session-manager\.container, line 3: Requires=mongo\.service whisper/,
      );
      // As it stands there: whoever is on the network goes, session-manager included.
      const commands = again.stderr.match(/^ {2}(systemctl|podman) .*$/gm) ?? [];
      expect(commands.at(-1)).toBe('  podman network rm systemd-whisper-net');
      await lab.sh(commands.join(' && '));
    });

    const rootless = lab.scope === '--user';
    const deletes = !cni ? '' : rootless ? ', deletes two old bridges' : ', deletes an old bridge';
    test(`with the old network gone, it installs${deletes}, and whisper is found`, async () => {
      await lab.sh('rm -f ~/tries/log');
      await writeUnits(lab, 'units');
      const said = await lab.sh(install(lab));
      const deleted = said.match(/^delete the bridge \S+ \(\S+\)/gm) ?? [];
      // As root, podman itself deletes the bridge of a network that it removes.
      expect(deleted).toHaveLength(!cni ? 0 : rootless ? 2 : 1);
      if (cni)
        expect(deleted.at(-1)).toMatch(/^delete the bridge cni-podman3 \(10\.89\.77\.1\/24\)$/);
      expect(said).toContain('whisper-proxy is healthy, and whisper-gate is locked');
      await lab.systemctl('start', 'apache');
      await answers(lab);
      await lab.until(`systemctl ${lab.scope} is-active --quiet ${OURS.join(' ')}`);
      expect(await started()).toBe(before);
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
      // What a site that is behind a proxy has; nothing of it reaches whisper.
      await lab.systemctl('set-environment', 'https_proxy=http://192.0.2.1:3128');
      await lab.systemctl('daemon-reload');
      await lab.systemctl('restart', 'whisper');
      await answers(lab);
      await lab.systemctl('unset-environment', 'https_proxy');
      expect(await lab.sh('podman exec whisper env')).not.toMatch(/_proxy=/i);
      expect(await lab.sh(install(lab))).toContain('are up to date');
      await lab.sh('podman rm --force --time 0 other');
    });
  });
}
