import { beforeAll, describe, expect, test } from 'vitest';
import type { Lab } from '../helpers/lab.ts';
import { fromSessionManager } from '../helpers/stack.ts';

const HELLO = 'hello from the internet';

/** The operator's day: whisper misses a host, they find the line, apply it, and nothing that runs ends. */
export function operating(lab: Lab): void {
  describe('whisper fails to load a model', () => {
    const file = `${lab.units}/whisper-proxy/whisper-proxy.env`;
    const proxy = (words: string) =>
      lab.attempt(`podman exec whisper-proxy whisper-proxy ${words}`);
    const ask = (host: string) =>
      lab.attempt(`podman exec whisper curl -sSk --max-time 10 https://${host}/`);
    let before = '';

    beforeAll(async () => {
      await lab.sh(`cp ${file} ~/env-before`);
      before = await lab.sh('podman inspect --format {{.State.StartedAt}} whisper-proxy whisper');
      await ask('evil.example');
    });

    test('denied tells the line to add, and the same from the journal', async () => {
      const { stdout } = await proxy('denied');
      expect(stdout).toMatch(/evil\.example +not_allowed/);
      expect(stdout).toContain('to allow it: EGRESS_ALLOW_EVIL_EXAMPLE=evil.example');
      const history = await lab.sh(
        `journalctl ${lab.scope} -u whisper-proxy -o cat | podman exec -i whisper-proxy whisper-proxy denied -`,
      );
      expect(history).toMatch(/evil\.example +not_allowed/);
    });

    test('check tells the same, and what the name resolves to', async () => {
      expect(await proxy('check evil.example')).toMatchObject({
        status: 1,
        stdout: expect.stringMatching(/deny {2}not_allowed\n {4}1\.1\.1\.81 {2}public/),
      });
    });

    test('a reload with a fault fails, says why, and changes nothing', async () => {
      await lab.sh(`echo EGRESS_ALOW=evil.example >>${file}`);
      const { status } = await lab.attempt(`systemctl ${lab.scope} reload whisper-proxy`);
      expect(status).not.toBe(0);
      expect(await lab.journal('whisper-proxy')).toMatch(/line \d+: EGRESS_ALOW=/);
      expect((await proxy('health')).stdout).toMatch(/stays in force:\n.*EGRESS_ALOW/);
      expect((await ask('huggingface.co')).stdout).toContain(HELLO);
    });

    test('the line that denied told, and a reload: the host is reached, and a transcription goes on', async () => {
      const upload = lab.sh(
        fromSessionManager(
          `sh -c '(for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 1; done) | curl -sS -X POST -T - http://whisper:7860/slow'`,
        ),
      );
      // As editors do it: a new file takes the old one's place.
      await lab.sh(
        `{ cat ~/env-before; echo EGRESS_ALLOW_EVIL_EXAMPLE=evil.example; } >${file}.new && mv ${file}.new ${file}`,
      );
      await lab.systemctl('reload', 'whisper-proxy');
      await lab.until('podman exec whisper curl -sSk --fail --max-time 10 https://evil.example/');
      expect((await proxy('health')).stdout).not.toContain('stays in force');
      expect((await proxy('check --config')).status).toBe(0);
      expect(await upload).toBe('whisper heard POST /slow 16\n');
    });

    test('a line that is deleted is gone', async () => {
      await lab.sh(`cp ~/env-before ${file}`);
      await lab.systemctl('reload', 'whisper-proxy');
      const { status, stdout } = await ask('evil.example');
      expect(status).not.toBe(0);
      expect(stdout).not.toContain(HELLO);
    });

    test('allowed for a time, it is reached for as long', async () => {
      expect(await proxy('allow evil.example --for 5s')).toMatchObject({
        status: 0,
        stdout: expect.stringContaining('evil.example'),
      });
      expect((await ask('evil.example')).stdout).toContain(HELLO);
      await lab.until('! podman exec whisper getent hosts evil.example');
      expect(await lab.journal('whisper-proxy')).toContain('"event":"timed_allow_end"');
    });

    test('none of it restarted anything', async () => {
      const after = await lab.sh(
        'podman inspect --format {{.State.StartedAt}} whisper-proxy whisper',
      );
      expect(after).toBe(before);
    });
  });
}
