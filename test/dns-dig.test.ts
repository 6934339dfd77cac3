import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { PROXY, startNameServer } from './helpers/name-server.ts';
import { isMissing } from './helpers/tools.ts';

const run = promisify(execFile);

/** What dig says to one command line. */
async function dig(port: number, ...parameters: string[]): Promise<string> {
  const server = ['@127.0.0.1', '-p', String(port), '+tries=1', '+time=5', '+nocookie'];
  // Without the user's own settings.
  const { stdout } = await run('dig', ['-r', ...server, ...parameters]).catch((error) => error);
  return stdout;
}

/** The code, the flags, the sections' sizes, and the answer of each message that dig shows. */
function digest(output: string): unknown[] {
  return output
    .split(/^;; Got answer:$/m)
    .slice(1)
    .map((text) => [
      /status: (\w+)/.exec(text)?.[1],
      /flags: ([\w ]*);/.exec(text)?.[1],
      /ANSWER: (\d+)/.exec(text)?.[1],
      /ADDITIONAL: (\d+)/.exec(text)?.[1],
    ]);
}

describe.skipIf(isMissing('dig', '-v'))('dig (of bind9-dnsutils)', () => {
  const found = ['NOERROR', 'qr aa rd ra', '1', '1'];
  const empty = ['NOERROR', 'qr aa rd ra', '0', '1'];
  const unknown = ['NXDOMAIN', 'qr aa rd ra', '0', '1'];

  test.each<[string, string[], unknown[]]>([
    ['by UDP', ['origin.test'], found],
    ['by TCP', ['+tcp', 'origin.test'], found],
    ['without EDNS', ['+noedns', 'origin.test'], ['NOERROR', 'qr aa rd ra', '1', '0']],
    ['with a large buffer', ['+bufsize=4096', 'origin.test'], found],
    ['with DNSSEC', ['+dnssec', 'origin.test'], found],
    ['without checks', ['+cdflag', 'origin.test'], ['NOERROR', 'qr aa rd ra cd', '1', '1']],
    ['without recursion', ['+norecurse', 'origin.test'], ['NOERROR', 'qr aa ra', '1', '1']],
    ['with a cookie', ['+cookie', 'origin.test'], found],
    ['with its subnet', ['+subnet=192.0.2.0/24', 'origin.test'], found],
    ['with padding', ['+padding=468', 'origin.test'], found],
    ['with an unknown option', ['+ednsopt=65001:00ff', 'origin.test'], found],
    ['in any letter case', ['OriGin.TEST'], found],
    ['for IPv6', ['AAAA', 'origin.test'], empty],
    ['for TXT', ['TXT', 'origin.test'], empty],
    ['for MX', ['MX', 'origin.test'], empty],
    ['for SRV', ['SRV', 'origin.test'], empty],
    ['for HTTPS', ['HTTPS', 'origin.test'], empty],
    ['for ANY, which it asks by TCP', ['ANY', 'origin.test'], empty],
    ['for a type nobody knows', ['TYPE65280', 'origin.test'], empty],
    ['for what is denied', ['evil.test'], unknown],
    ['for TXT of what is denied', ['TXT', 'secret.evil.test'], unknown],
    ['for the root', ['NS', '.'], ['NOERROR', 'qr aa rd ra', '0', '1']],
    ['for an address of ours', ['-x', PROXY], found],
    ['for an address of others', ['-x', '192.0.2.54'], unknown],
    ['for an IPv6 address', ['-x', '2001:db8::1'], unknown],
    ['in class CH', ['CH', 'TXT', 'version.bind'], ['REFUSED', 'qr aa rd ra', '0', '1']],
    [
      'for nothing',
      ['+noedns', '+header-only', 'origin.test'],
      ['FORMERR', 'qr aa rd ra', '0', '0'],
    ],
    [
      'by notifying',
      ['+noedns', '+opcode=notify', 'origin.test'],
      ['NOTIMP', 'qr aa rd ra', '0', '0'],
    ],
    [
      'by updating',
      ['+noedns', '+opcode=update', 'origin.test'],
      ['NOTIMP', 'qr aa rd ra', '0', '0'],
    ],
  ])('%s', async (_, parameters, answer) => {
    const { port } = await startNameServer();
    const output = await dig(port, ...parameters);
    expect(output).not.toContain('WARNING');
    expect(digest(output)).toEqual([answer]);
  });

  test('is given the address', async () => {
    const { port, lookups } = await startNameServer();
    const output = await dig(port, '+noall', '+answer', 'oRigin.test');
    expect(output.split(/\s+/)).toEqual(['oRigin.test.', '60', 'IN', 'A', PROXY, '']);
    expect(lookups).toEqual([
      { name: 'oRigin.test', type: 'A', client: '127.0.0.1', own: false, fault: null },
    ]);
  });

  test('is given the name', async () => {
    const { port } = await startNameServer();
    expect(await dig(port, '+short', '-x', PROXY)).toBe('whisper-proxy.\n');
  });

  test('hears that we know no newer EDNS, and asks again', async () => {
    const { port } = await startNameServer();
    const refused = await dig(port, '+edns=1', '+noednsneg', 'origin.test');
    expect(digest(refused)).toEqual([['BADVERS', 'qr aa rd ra', '0', '1']]);
    expect(refused).toContain('; EDNS: version: 0, flags:; udp: 1232');
    expect(await dig(port, '+edns=1', '+short', 'origin.test')).toContain(PROXY);
  });

  test('hears that we know of DNSSEC, and no option', async () => {
    const { port } = await startNameServer();
    const output = await dig(port, '+dnssec', '+cookie', '+nsid', 'origin.test');
    expect(output).toContain('; EDNS: version: 0, flags: do; udp: 1232\n;; QUESTION');
  });

  test('asks twice on one connection', async () => {
    const { port } = await startNameServer();
    const options = ['+tcp', '+keepopen'];
    const output = await dig(port, ...options, 'origin.test', ...options, 'evil.test');
    expect(digest(output)).toEqual([found, unknown]);
  });

  test('is transferred no zone', async () => {
    const { port, lookups } = await startNameServer();
    expect(await dig(port, 'AXFR', 'origin.test')).toContain('; Transfer failed.');
    expect(await dig(port, 'AXFR', 'evil.test')).toContain('; Transfer failed.');
    expect(lookups).toMatchObject([{ type: 'AXFR' }, { type: 'AXFR' }]);
  });
});
