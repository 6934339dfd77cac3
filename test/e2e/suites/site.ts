import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Lab } from '../helpers/lab.ts';
import { askForNames, secondsAway, stopAsking } from '../helpers/names.ts';
import { answers, install, NEIGHBOURS, OURS, start } from '../helpers/stack.ts';

// A sysctl that no kernel has: podman sets up the networks, and then cannot make the container.
const FAILS_AT_START = 'Sysctl=net.ipv4.no_such_thing=1';

/**
 * The rest of the site keeps its names, whatever happens to our units. With CNI the name server of
 * visp-net runs in the unit whose container came first on it, and ends with that unit.
 */
export function site(lab: Lab): void {
  describe('the names of the site', () => {
    beforeAll(() => firstOnVispNet(lab));
    afterAll(() => stopAsking(lab));

    test('stay while whisper-proxy is stopped and started, and only its own goes', async () => {
      let own = 0;
      const mongo = await secondsAway(lab, 'mongo', async () => {
        own = await secondsAway(lab, 'whisper', () => lab.systemctl('stop', 'whisper-proxy'));
        await lab.systemctl('start', 'whisper-proxy');
        await answers(lab);
      });
      expect(own).toBeGreaterThan(1);
      expect(mongo).toBe(0);
    });

    test('stay through a restart of each unit', async () => {
      const mongo = await secondsAway(lab, 'mongo', async () => {
        for (const unit of OURS) await lab.systemctl('restart', unit);
        await answers(lab);
      });
      expect(mongo).toBe(0);
    });

    test('stay when the conmon of whisper-proxy is killed', async () => {
      const mongo = await secondsAway(lab, 'mongo', async () => {
        const run = "podman inspect --format '{{.State.ConmonPid}}' whisper-proxy";
        const conmon = (await lab.sh(run)).trim();
        await lab.sh(`kill -9 ${conmon}`);
        await lab.until(`now=$(${run}) && [ "$now" != ${conmon} ]`);
        await answers(lab);
      });
      expect(mongo).toBe(0);
    });

    test('stay when whisper-proxy starts with a fault in its configuration', async () => {
      const file = `${lab.units}/whisper-proxy/whisper-proxy.env`;
      const mongo = await secondsAway(lab, 'mongo', async () => {
        await lab.sh(`echo EGRESS_LISTEN=nonsense >>${file}`);
        await lab.attempt(`systemctl ${lab.scope} restart whisper-proxy`);
        await lab.until(`systemctl ${lab.scope} is-failed whisper-proxy`);
        await lab.sh(`sed -i /nonsense/d ${file}`);
        await lab.systemctl('start', 'whisper-proxy');
        await answers(lab);
      });
      expect(mongo).toBe(0);
    });

    test('stay through an uninstall and an install', async () => {
      const mongo = await secondsAway(lab, 'mongo', async () => {
        await lab.sh(`/quadlets/install uninstall ${lab.scope.replace('--user', '')}`);
        await lab.sh(install(lab));
        await lab.systemctl('start', 'whisper');
        await answers(lab);
      });
      expect(mongo).toBe(0);
    });

    if (lab.backend === 'cni') {
      test("go for a moment when any other unit ends that was first, which is CNI's way", async () => {
        await lab.write(
          'other.container',
          '[Container]\nContainerName=other\nImage=localhost/guest:latest\nNetwork=visp-net.network\n',
        );
        await lab.systemctl('daemon-reload');
        await lab.systemctl('stop', ...NEIGHBOURS, ...OURS);
        await lab.systemctl('start', 'other');
        await start(lab, ...OURS, ...NEIGHBOURS);
        await askForNames(lab, 'mongo', 'whisper');
        const mongo = await secondsAway(lab, 'mongo', () => lab.systemctl('restart', 'other'));
        expect(mongo).toBeGreaterThan(0);
      });

      test('return when whisper-proxy fails at every start, and stay', async () => {
        const unit = `${lab.units}/whisper-proxy.container`;
        await lab.sh(`sed -i '/^ContainerName=/a ${FAILS_AT_START}' ${unit}`);
        await lab.systemctl('daemon-reload');
        await lab.attempt(`systemctl ${lab.scope} restart whisper-proxy`);
        // The name server goes, and the next to come to the network starts it: whisper-proxy.
        await lab.systemctl('stop', 'other');
        await isTriedAgain(lab, 2);
        expect(await secondsAway(lab, 'mongo', () => isTriedAgain(lab, 1))).toBe(0);
        await lab.sh(`sed -i '/^${FAILS_AT_START}$/d' ${unit}`);
        await lab.systemctl('daemon-reload');
        await lab.systemctl('restart', 'whisper-proxy');
        await answers(lab);
      });
    }
  });
}

/** Starts all units again, whisper-proxy before its neighbours, and lets session-manager ask for names. */
export async function firstOnVispNet(lab: Lab): Promise<void> {
  await lab.systemctl('stop', ...NEIGHBOURS, ...OURS);
  await lab.systemctl('start', 'whisper-proxy');
  await start(lab, ...OURS, ...NEIGHBOURS);
  await askForNames(lab, 'mongo', 'whisper');
}

/** Waits until systemd has tried so many more times to start whisper-proxy. */
async function isTriedAgain(lab: Lab, times: number): Promise<void> {
  const restarts = `systemctl ${lab.scope} show --value --property NRestarts whisper-proxy`;
  const before = Number(await lab.sh(restarts));
  await lab.until(`[ $(${restarts}) -ge ${before + times} ]`);
}
