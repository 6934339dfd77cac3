import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import { Cli, LOOPBACK } from './helpers/cli.ts';
import { isMissing } from './helpers/tools.ts';

const run = promisify(execFile);
let cli: Cli | undefined;

afterEach(async () => {
  await cli?.kill();
});

describe('serve --local', () => {
  test.skipIf(isMissing('curl'))(
    'prints three lines that do what they say (needs curl)',
    async () => {
      cli = new Cli(['serve', '--local'], LOOPBACK);
      await cli.prints('isolation needs the gate');
      const pasted = cli.stdout.split('\n').filter((line) => line.startsWith('  curl '));
      expect(pasted).toHaveLength(3);
      const [transcript, refused, allowed] = await Promise.all(
        pasted.map(async (line) => (await run('sh', ['-c', line])).stdout),
      );
      expect(transcript).toMatch(/stand-in, not speech recognition.*demo\.wav/);
      expect(refused).toMatch(/EGRESS_ALLOW_EXAMPLE_COM_80=example\.com:80\n$/);
      expect(allowed).toMatch(/Hello from the demo host/);
      await cli.prints(/\d\d:\d\d:\d\d {2}deny +http +example\.com:80 +not_allowed/);
      await cli.prints(/allow +http +127\.0\.0\.1:\d+ +DEMO 127\.0\.0\.1:\d+\n/);
      await cli.prints(/ended +http +127\.0\.0\.1:\d+ +\d+ bytes out, \d+ in, \d+ ms\n/);
    },
  );

  test('ends with 0, its demo host too', async () => {
    cli = new Cli(['serve', '--local'], LOOPBACK);
    await cli.prints('isolation needs the gate');
    cli.child.kill('SIGTERM');
    expect(await cli.exit()).toBe(0);
  });

  test('with UPSTREAM set it is that upstream, and nothing is allowed', async () => {
    cli = new Cli(['serve', '--local'], { ...LOOPBACK, UPSTREAM: 'http://127.0.0.1:9' });
    await cli.prints('listening');
    expect(cli.stdout).toContain('"allow":[]');
    expect(cli.stdout).not.toContain('stand-in');
  });
});

test('demo tells the whole story, and its exit status says that it came out right', async () => {
  cli = new Cli(['demo'], { EGRESS_ALLOW: 'ignored.example' });
  expect(await cli.exit()).toBe(0);
  for (const reason of ['not_allowed', 'deny_rule', 'non_public_address', 'bad_target']) {
    expect(cli.stdout).toContain(reason);
  }
  expect(cli.stdout).toMatch(/stand-in, not speech recognition/);
  expect(cli.stdout).toMatch(/200 +allow/);
});
