import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { decisions, isDecided } from '../helpers/decisions.ts';
import type { Lab } from '../helpers/lab.ts';
import { fromSessionManager, tries } from '../helpers/stack.ts';

/** whisper by its name, its way out, and that there is no other. */
export function isolation(lab: Lab): void {
  describe('whisper, by its name', () => {
    test('session-manager resolves it', async () => {
      expect(await lab.sh(fromSessionManager('getent hosts whisper'))).toMatch(/^10\.\S+ +whisper/);
    });

    test('session-manager reaches it', async () => {
      const answer = await lab.sh(fromSessionManager('curl --silent http://whisper:7860/hello'));
      expect(answer).toBe('whisper heard GET /hello 0\n');
    });

    test('a recording of 200 MB goes in', async () => {
      const upload =
        'head -c 200000000 /dev/zero | curl -sS -X POST -T - http://whisper:7860/upload';
      const answer = await lab.sh(fromSessionManager(`sh -c '${upload}'`));
      expect(answer).toBe('whisper heard POST /upload 200000000\n');
    });

    test('a neighbour is refused, with a line in the log', async () => {
      const since = await lab.now();
      const answer = await lab.sh(
        `podman exec mongo curl --silent --output /dev/null --write-out '%{http_code}' http://whisper:7860/`,
      );
      expect(answer).toBe('403');
      expect(await lab.journal('whisper-proxy', since)).toContain('"reason":"client_not_allowed"');
    });
  });

  describe('the way out', () => {
    test('with nothing allowed, a name is unknown at once, as it is offline', async () => {
      const since = await lab.now();
      const script = `
import socket, time
begun = time.monotonic()
for family in socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6:
    try:
        print(socket.getaddrinfo("huggingface.co", 443, family))
    except socket.gaierror as error:
        print(error.errno == socket.EAI_NONAME)
print("slow" if time.monotonic() - begun > 3 else "fast")`;
      // The resolver waits a second for each answer that does not come.
      expect(await lab.sh('podman exec -i whisper python3 -', script)).toBe(
        'True\nTrue\nTrue\nfast\n',
      );
      const { stderr } = await lab.attempt('podman exec whisper curl -sS https://huggingface.co/');
      expect(stderr).toContain('Could not resolve host');
      await isDecided(lab, since, { decision: 'deny', via: 'dns', host: 'huggingface.co' });
    });

    test('a host that no rule names is refused, and the journal says what was asked for', async () => {
      const since = await lab.now();
      const { stdout, status } = await lab.attempt(
        'podman exec whisper curl -sS -x http://whisper-proxy:3128 -o /dev/null -w "%{http_connect}" https://evil.example/',
      );
      expect({ stdout, status }).toEqual({ stdout: '403', status: 56 });
      expect(decisions(await lab.journal('whisper-proxy', since))).toContainEqual(
        expect.objectContaining({
          decision: 'deny',
          reason: 'not_allowed',
          host: 'evil.example',
          port: 443,
          client: '10.89.77.3',
        }),
      );
    });

    test('a whisper that floods its own log hides nothing of it', async () => {
      const since = await lab.now();
      await lab.attempt(`podman exec whisper timeout 8 sh -c 'yes >/proc/1/fd/1'`);
      await lab.attempt('podman exec whisper curl -sS http://after-the-flood.example/');
      expect(decisions(await lab.journal('whisper-proxy', since))).toContainEqual(
        expect.objectContaining({ decision: 'deny', host: 'after-the-flood.example' }),
      );
      expect((await lab.sh('podman logs --tail 1 whisper')).length).toBeGreaterThan(0);
    });

    test('an allowed host is reached, after a restart of the proxy alone', async () => {
      await lab.sh(
        `echo EGRESS_ALLOW=huggingface.co rebind.example:80 >>${lab.units}/whisper-proxy/whisper-proxy.env`,
      );
      await lab.systemctl('restart', 'whisper-proxy');
      await lab.until('podman exec whisper-proxy whisper-proxy health');
      const since = await lab.now();
      expect(await lab.sh('podman exec whisper curl -sSk https://huggingface.co/')).toContain(
        'hello from the internet',
      );
      expect(decisions(await lab.journal('whisper-proxy', since))).toContainEqual(
        expect.objectContaining({ decision: 'allow', host: 'huggingface.co', address: '1.1.1.80' }),
      );
    });

    test('an allowed name that points into the networks is not', async () => {
      const since = await lab.now();
      const { stdout } = await lab.attempt(
        'podman exec whisper curl -s -o /dev/null -w "%{http_code}" http://rebind.example/',
      );
      expect(stdout).toBe('403');
      expect(decisions(await lab.journal('whisper-proxy', since))).toContainEqual(
        expect.objectContaining({ reason: 'non_public_address', address: '10.89.0.1' }),
      );
    });
  });

  describe('no other way', () => {
    test('the watcher in whisper got nothing out', async () => {
      const { closed, open } = await tries(lab);
      expect(open).toEqual([]);
      expect(closed).toBeGreaterThan(0);
    });

    test('the same watcher in an unlocked container gets out', async () => {
      await lab.sh(
        'podman run --rm --network systemd-whisper-net localhost/guest:latest timeout 2 python3 /opt/tries.py /dev/stdout >~/unlocked || true',
      );
      const unlocked = await lab.sh('cat ~/unlocked');
      for (const target of ['10.89.77.1:53', '1.1.1.1:53', '255.255.255.255:9']) {
        expect(unlocked).toContain(`OPEN ${target}`);
      }
    });

    test('the proxy alone reached the internet, for what is allowed, and asked for no other name', async () => {
      const record = async (name: string) =>
        (await readFile(`${await lab.folder()}/${name}`, 'utf8')).trim().split('\n');
      const strange = (await record('internet.log')).filter(
        (line) => !/^(syn|tls|tcp) 1\.1\.1\.80:443 203\.0\.113\.1 /.test(line),
      );
      expect(strange).toEqual([]);
      const asked = (await record('dns.log')).flatMap(
        (line) => / query\[A+\] (\S+)/.exec(line)?.[1] ?? [],
      );
      expect(asked).toContain('huggingface.co');
      expect(asked).not.toContain('evil.example');
    });

    test('whisper has no capability, no new privileges, and a filter on its system calls', async () => {
      const status = await lab.sh('podman exec whisper cat /proc/1/status');
      expect(status).toMatch(/^CapBnd:\s0000000000000000$/m);
      expect(status).toMatch(/^CapEff:\s0000000000000000$/m);
      expect(status).toMatch(/^NoNewPrivs:\s1$/m);
      expect(status).toMatch(/^Seccomp:\s2$/m);
    });

    test('the gate holds the namespace without a privilege, in a few MB', async () => {
      const status = await lab.sh('podman exec whisper-gate cat /proc/1/status');
      expect(status).toMatch(/^CapEff:\s0000000000000000$/m);
      expect(status).toMatch(/^CapPrm:\s0000000000000000$/m);
      expect(Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1])).toBeLessThan(4096);
    });
  });
}
