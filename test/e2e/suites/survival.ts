import { beforeAll, describe, expect, test } from 'vitest';
import type { Lab } from '../helpers/lab.ts';
import { answers, NEIGHBOURS, OURS, tries } from '../helpers/stack.ts';

const ORDERS = OURS.flatMap((first) =>
  OURS.filter((name) => name !== first).map((second) => [
    first,
    second,
    ...OURS.filter((name) => name !== first && name !== second),
  ]),
);

/** Whatever dies, the stack comes back by itself, and whisper was never unlocked. */
export function survival(lab: Lab): void {
  describe('survival', () => {
    let neighbours = '';

    beforeAll(async () => {
      neighbours = await invocations(lab);
    });

    /** Does a thing that ends a container, and sees that all is well again without help. */
    async function survives(name: string, what: () => Promise<unknown>): Promise<void> {
      const before = await tries(lab);
      const run = `podman inspect --format '{{.Id}} {{.State.StartedAt}}' ${name}`;
      const old = (await lab.attempt(run)).stdout.trim();
      await what();
      await lab.until(`now=$(${run}) && [ "$now" != "${old}" ]`);
      await answers(lab);
      await lab.until(`systemctl ${lab.scope} is-active --quiet ${OURS.join(' ')}`);
      // The watcher has begun its rounds again.
      await lab.until(`[ $(grep -c closed ~/tries/log) -gt ${before.closed} ]`);
      expect((await tries(lab)).open).toEqual([]);
      expect(await invocations(lab)).toBe(neighbours);
    }

    test.each(OURS)('killing %s', async (name) => {
      await survives(name, () => lab.sh(`podman kill --signal KILL ${name}`));
    });

    test.each(OURS)('kill -9 of the conmon of %s', async (name) => {
      await survives(name, () =>
        lab.sh(`kill -9 $(podman inspect --format '{{.State.ConmonPid}}' ${name})`),
      );
    });

    test.each(OURS)('restarting %s', async (name) => {
      await survives(name, () => lab.systemctl('restart', name));
    });

    test.each(OURS)('podman rm --force of %s', async (name) => {
      await survives(name, () => lab.sh(`podman rm --force --depend --time 0 ${name}`));
    });

    test.each(ORDERS)(
      'stopping everything, and starting it in the order %s, %s, %s',
      async (...order) => {
        await survives('whisper', async () => {
          await lab.systemctl('stop', ...OURS);
          for (const name of order) await lab.systemctl('start', name);
        });
      },
    );

    test('SIGTERM ends the gate, whisper follows, and both stay down', async () => {
      await lab.systemctl('stop', 'whisper');
      // Upholds= starts whisper again, so that it is running when the gate is stopped.
      await lab.until(`systemctl ${lab.scope} is-active --quiet whisper`);
      await survives('whisper', async () => {
        // Process 1 of a container that does not heed it would never end by it.
        await lab.sh(
          'podman kill --signal TERM whisper-gate; while [ "$(podman inspect --format \'{{.State.Pid}}\' whisper-gate 2>/dev/null || echo 0)" != 0 ]; do sleep 0.05; done',
        );
      });
      await lab.systemctl('stop', 'whisper-gate');
      expect(await lab.isActive('whisper')).toBe(false);
      await survives('whisper', () => lab.systemctl('start', 'whisper-gate'));
    });

    test('a gate whose nft fails: whisper stays down, and returns unaided when it is mended', async () => {
      await survives('whisper', async () => {
        // Over the real nft, for the time being.
        await lab.write(
          'nft-that-fails',
          '#!/bin/sh\necho "Error: no nf_tables here" >&2\nexit 1\n',
        );
        await lab.sh(`chmod 755 ${lab.units}/nft-that-fails`);
        const mount = `Volume=${lab.units}/nft-that-fails:/usr/sbin/nft:ro,z`;
        await lab.sh(`sed -i '/^ContainerName=/a ${mount}' ${lab.units}/whisper-gate.container`);
        await lab.systemctl('daemon-reload');
        const since = await lab.now();
        await lab.attempt(`systemctl ${lab.scope} restart whisper-gate`);
        await lab.until(
          `journalctl ${lab.scope} --since @${since} --output cat --unit whisper-gate | grep 'does not take the rules.*no nf_tables here'`,
        );
        const end = Date.now() + 8_000;
        while (Date.now() < end) {
          expect(await lab.isActive('whisper')).toBe(false);
          expect((await lab.attempt('podman exec whisper true')).status).not.toBe(0);
        }
        await lab.sh(`sed -i '\\|^${mount}|d' ${lab.units}/whisper-gate.container`);
        await lab.systemctl('daemon-reload');
      });
    });

    test('an unclean stop of the host', async () => {
      const before = await tries(lab);
      await lab.crash();
      await answers(lab, 120);
      await lab.until(
        `systemctl ${lab.scope} is-active --quiet ${[...OURS, ...NEIGHBOURS].join(' ')}`,
      );
      await lab.until(`[ $(grep -c closed ~/tries/log) -gt ${before.closed} ]`);
      expect((await tries(lab)).open).toEqual([]);
    });
  });
}

/** One word for each run of a neighbour: it changes when one was restarted. */
function invocations(lab: Lab): Promise<string> {
  return lab.systemctl('show', '--property InvocationID,ActiveState', ...NEIGHBOURS);
}
