import { describe, expect, test } from 'vitest';
import type { Lab } from '../helpers/lab.ts';
import { secondsAway, stopAsking } from '../helpers/names.ts';
import {
  addToContainers,
  answers,
  install,
  NEIGHBOURS,
  OURS,
  start,
  tries,
} from '../helpers/stack.ts';
import { firstOnVispNet } from './site.ts';

/** The changes to the shipped files that the README offers. */
export function variants(lab: Lab): void {
  test('with Internal=true on whisper-net, all goes on as before', async () => {
    await lab.systemctl('stop', 'whisper-gate', 'whisper-proxy', 'whisper-net-network');
    await lab.sh('podman network rm systemd-whisper-net');
    await lab.sh(`sed -i '/^DisableDNS=/a Internal=true' ${lab.units}/whisper-net.network`);
    const { closed } = await tries(lab);
    await start(lab, ...OURS);
    const inspected = await lab.sh('podman network inspect systemd-whisper-net');
    expect(inspected).toMatch(/"internal": true|"isGateway": false/);
    expect(
      await lab.sh('podman exec whisper curl -sSk --max-time 10 https://huggingface.co/'),
    ).toContain('hello from the internet');
    await lab.until(`[ $(grep -c closed ~/tries/log) -gt ${closed} ]`);
    expect((await tries(lab)).open).toEqual([]);
  });

  test('with a read-only root, and the folders that whisper.container names for that', async () => {
    await lab.sh(
      `sed -i -e '/^#ReadOnly=true/,/^$/s/^#//' ${lab.units}/whisper.container && grep '^ReadOnly=true' ${lab.units}/whisper.container`,
    );
    await lab.systemctl('daemon-reload');
    await lab.systemctl('restart', 'whisper');
    await answers(lab);
    const writes = async (path: string) =>
      (await lab.attempt(`podman exec whisper touch ${path}/x`)).status === 0;
    for (const path of [
      '/tmp',
      '/Whisper-WebUI/outputs',
      '/Whisper-WebUI/models',
      '/root/.cache',
    ]) {
      expect(await writes(path), path).toBe(true);
    }
    for (const path of ['/etc', '/usr', '/Whisper-WebUI']) {
      expect(await writes(path), path).toBe(false);
    }
  });

  test('with --cgroups=disabled on every unit', async () => {
    // runc cannot do without cgroups, crun not with those of the machines that tests run on.
    await lab.write('../containers.conf.d/crun.conf', '[engine]\nruntime = "crun"\n');
    await addToContainers(lab, 'PodmanArgs=--cgroups=disabled');
    const { closed } = await tries(lab);
    await lab.systemctl('daemon-reload');
    await lab.systemctl('restart', 'mongo', 'apache', ...OURS);
    await answers(lab);
    for (const name of [...OURS, 'session-manager']) {
      expect(await lab.sh(`podman inspect --format '{{.HostConfig.Cgroups}}' ${name}`)).toBe(
        'disabled\n',
      );
    }
    await lab.sh('podman kill --signal KILL whisper-gate');
    await lab.until(`[ $(grep -c closed ~/tries/log) -gt ${closed + 1} ]`);
    await answers(lab);
    expect((await tries(lab)).open).toEqual([]);
  });

  test('with --cgroups=disabled, the site keeps its names as well', async () => {
    await firstOnVispNet(lab);
    const mongo = await secondsAway(lab, 'mongo', async () => {
      await lab.systemctl('restart', 'whisper-proxy');
      await lab.systemctl('stop', 'whisper-proxy');
      await lab.systemctl('start', 'whisper-proxy');
      await answers(lab);
    });
    expect(mongo).toBe(0);
    await stopAsking(lab);
  });

  if (lab.backend === 'cni') {
    test('from CNI to netavark, with the same files', async () => {
      await lab.systemctl('stop', 'whisper-gate', 'whisper-proxy', ...NEIGHBOURS);
      await lab.write(
        '../containers.conf.d/netavark.conf',
        '[network]\nnetwork_backend = "netavark"\n',
      );
      await lab.systemctl('restart', 'visp-net-network', 'whisper-net-network');
      const { closed } = await tries(lab);
      await start(lab, ...OURS, ...NEIGHBOURS);
      expect(await lab.sh("podman info --format '{{.Host.NetworkBackend}}'")).toBe('netavark\n');
      await lab.until(`[ $(grep -c closed ~/tries/log) -gt ${closed} ]`);
      expect((await tries(lab)).open).toEqual([]);
    });
  }

  describe('without any network: whisper on a unix socket', () => {
    test('the example files work as they are, but for the image', async () => {
      await lab.systemctl('stop', ...OURS, 'whisper-net-network');
      await lab.sh(`
        cd ${lab.units}
        rm ../containers.conf.d/crun.conf
        sed -i '/--cgroups=disabled/d' *.container
        rm whisper-gate.container whisper-net.network
        cp /quadlets/no-network/whisper-proxy.container.example whisper-proxy.container
        sed -e 's|^Image=.*|Image=localhost/guest:latest|' \\
          -e '/^ContainerName=/a Exec=python3 /opt/whisper.py /run/whisper/api.sock' \\
          /quadlets/no-network/whisper.container.example >whisper.container`);
      await start(lab, 'whisper-proxy', 'whisper');
    });

    test('whisper has loopback and nothing else', async () => {
      const links = await lab.sh('podman exec whisper ip -brief link');
      expect(links.trim().split('\n')).toEqual([expect.stringMatching(/^lo /)]);
    });

    test('killing either, both come back', async () => {
      for (const name of ['whisper', 'whisper-proxy']) {
        await lab.sh(`podman kill --signal KILL ${name}`);
        await lab.until(`! podman exec ${name} true`, 5).catch(() => undefined);
        await answers(lab);
      }
    });

    test('health does not ask for a gate', async () => {
      expect(await lab.sh('podman exec whisper-proxy whisper-proxy health')).not.toContain(
        'warning',
      );
    });

    test('install upgrades it, and verify finds it locked in', async () => {
      expect(await lab.sh(install(lab))).toContain('whisper-proxy is healthy\n');
      await answers(lab);
      expect(await lab.sh(`ls ${lab.units}`)).not.toMatch(/whisper-gate|whisper-net\.network/);
      const verify = `/quadlets/install verify ${lab.scope.replace('--user', '')}`;
      const { status, stdout } = await lab.attempt(verify);
      expect(stdout).toContain('whisper has no network: none');
      expect(stdout).not.toMatch(/OPEN|UNKNOWN/);
      expect(status).toBe(0);
    });
  });
}
