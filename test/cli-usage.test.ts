import { expect, test } from 'vitest';
import { Cli } from './helpers/cli.ts';

test.each([
  [['nonsense'], "unknown command 'nonsense'; see whisper-proxy --help"],
  [['server'], "unknown command 'server' (Did you mean serve?); see whisper-proxy --help"],
  [['--nonsense'], "unknown option '--nonsense'; see whisper-proxy --help"],
  [['serve', 'extra'], /^too many arguments for 'serve'.*; see whisper-proxy serve --help$/],
  [
    ['serve', '--lokal'],
    "unknown option '--lokal' (Did you mean --local?); see whisper-proxy serve --help",
  ],
  [['demo', 'extra'], /^too many arguments for 'demo'.*; see whisper-proxy demo --help$/],
  [['health', 'extra'], /^too many arguments for 'health'.*; see whisper-proxy health --help$/],
  [['health', '--x'], "unknown option '--x'; see whisper-proxy health --help"],
  [['allow', '--for', '1h'], "missing argument 'rule'; see whisper-proxy allow --help"],
  [
    ['allow', 'hf.co'],
    /^required option '--for <time>' not specified; see whisper-proxy allow --help$/,
  ],
  [['allow', 'hf.co', '--for'], /^option '--for <time>' argument missing; see/],
  [['allow', 'hf.co', '--for', 'x'], /'x' is invalid.*; see whisper-proxy allow --help$/],
  [['check'], 'name hosts, or give --config, and not both; see whisper-proxy check --help'],
  [['check', 'hf.co', '--nonsense'], "unknown option '--nonsense'; see whisper-proxy check --help"],
  [['check', 'hf.co', '--file'], /^option '--file <file>' argument missing; see/],
  [['denied', 'x'], /'x' is invalid.*; see whisper-proxy denied --help$/],
  [['denied', '--nonsense'], "unknown option '--nonsense'; see whisper-proxy denied --help"],
  [['verify', 'extra'], /^too many arguments for 'verify'.*; see whisper-proxy verify --help$/],
  [['verify', '--from', 'mars'], /'mars' is invalid.*; see whisper-proxy verify --help$/],
])('%j ends with 2 and one line that says why', async (args, sentence) => {
  const cli = new Cli(args, {});
  expect(await cli.exit()).toBe(2);
  expect(cli.stdout).toBe('');
  expect(cli.stderr).toMatch(/^whisper-proxy: [^\n]*\n$/);
  const said = cli.stderr.slice('whisper-proxy: '.length, -1);
  if (typeof sentence === 'string') expect(said).toBe(sentence);
  else expect(said).toMatch(sentence);
});

test.each([['--help'], ['help'], ['check', '--help'], ['--version']])(
  '%s %s is no fault',
  async (...args) => {
    const cli = new Cli(args, {});
    expect(await cli.exit()).toBe(0);
    expect(cli.stderr).toBe('');
    expect(cli.stdout).not.toBe('');
  },
);
