import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Lab } from '../helpers/lab.ts';

interface Probe {
  group: string;
  name: string;
  want: 'closed' | 'open';
  state: 'closed' | 'open' | 'unknown';
}

// What an unlocked container on whisper-net finds closed too, so that a probe there proves nothing:
// whisper-net has no IPv6, the kernels here lack these protocols, and the proxy refuses strangers. The
// tests of verify itself show all but the protocols open, in namespaces of their own.
const CLOSED_ANYWAY = [
  /^IPv6/,
  /^other ways to send: ICMPv6/,
  /^other ways to send: (SCTP|DCCP)$/,
  /^addresses: TCP to a neighbour/,
  /^through the proxy/,
  /^privileges: capabilities, Cap(Inh|Amb)$/,
  /^system calls: (another kernel|kernel modules)/,
  // A rootless container's root may not do these in any case.
  /^system calls: (bpf|open_by_handle_at)$/,
];

/** The whole escape list, from whisper's place and from beside it, with a control that is unlocked. */
export function escapes(lab: Lab): void {
  const fixture = (name: string) =>
    readFileSync(new URL(`../fixtures/${name}`, import.meta.url), 'utf8');
  const UNLOCKED =
    'podman run --rm --interactive --network systemd-whisper-net --cap-add=all --user=0:0 --security-opt=seccomp=unconfined --security-opt=unmask=ALL';

  describe('verify', () => {
    test('finds every way out closed, from whisper and from visp-net', async () => {
      const { status, stdout } = await lab.attempt(
        `/quadlets/install verify ${lab.scope === '--system' ? '--system' : ''}`,
      );
      expect(stdout).toContain('CONNECT to the proxy');
      expect(stdout.match(/ways out tried, all closed/g)).toHaveLength(2);
      expect(stdout).not.toMatch(/OPEN|UNKNOWN/);
      expect(status).toBe(0);
    });

    test('shows them open in an unlocked container', async () => {
      const { status, stdout } = await lab.attempt(
        `${UNLOCKED} --entrypoint=whisper-proxy localhost/whisper-proxy verify --json`,
      );
      expect(status).toBe(1);
      const { probes } = JSON.parse(stdout) as { probes: Probe[] };
      const closed = probes
        .filter(({ want, state }) => want === 'closed' && state === 'closed')
        .map(({ group, name }) => `${group}: ${name}`)
        .filter((probe) => !CLOSED_ANYWAY.some((known) => known.test(probe)));
      expect(closed).toEqual([]);
      expect(probes.filter(({ state }) => state === 'open').length).toBeGreaterThan(50);
    });
  });

  describe('the seccomp profile', () => {
    test('lets whisper do what it has to', async () => {
      await lab.sh('podman exec whisper mkdir -p /tmp/works');
      for (const name of readdirSync(new URL('../fixtures/works', import.meta.url))) {
        const path = `works/${name}`;
        await lab.sh(`podman exec -i whisper sh -c 'cat >/tmp/${path}'`, fixture(path));
      }
      const { status, stdout } = await lab.attempt('podman exec whisper python3 /tmp/works');
      expect(stdout.split('\n').filter((line) => !line.startsWith('ok '))).toEqual(['']);
      expect(status).toBe(0);
    });

    test('closes what leads elsewhere, and unconfined it is open', async () => {
      const open = async (where: string) => {
        const answers = JSON.parse(await lab.sh(`${where} python3 -`, fixture('closed.py')));
        return Object.entries(answers as Record<string, { open: boolean }>)
          .filter(([, answer]) => answer.open)
          .map(([name]) => name);
      };
      expect(await open('podman exec -i whisper')).toEqual([]);
      expect((await open(`${UNLOCKED} localhost/guest`)).length).toBeGreaterThan(500);
    });

    test("allows nothing that podman's own forbids", async () => {
      const allowed = (profile: Profile) =>
        profile.syscalls
          .filter(({ action, includes }) => action === 'SCMP_ACT_ALLOW' && !includes?.caps)
          .flatMap(({ names }) => names);
      const theirs = JSON.parse(await lab.sh('cat /usr/share/containers/seccomp.json')) as Profile;
      const ours = JSON.parse(await lab.sh(`cat ${lab.units}/whisper-seccomp.json`)) as Profile;
      const beyond = allowed(ours).filter((name) => !allowed(theirs).includes(name));
      expect(beyond).toEqual([]);
      expect(allowed(ours).length).toBeGreaterThan(200);
    });
  });
}

interface Profile {
  syscalls: { names: string[]; action: string; includes?: { caps?: string[] } }[];
}
