import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isOwnAddress } from '../src/net/own-addresses.ts';
import { canMakeNamespaces } from './helpers/ingress-namespaces.ts';

test.each([
  ['127.0.0.1', true],
  ['127.0.0.0', true],
  ['127.255.255.254', true],
  ['::1', true],
  ['0.0.0.0', true],
  ['::', true],
  ['8.8.8.8', false],
  ['192.0.2.1', false],
  ['2001:db8::1', false],
])('%s is an address of this machine: %j', (address, isOwn) => {
  expect(isOwnAddress(address)).toBe(isOwn);
});

describe.skipIf(!canMakeNamespaces())(
  'networks on interfaces (needs root, ip netns and a build)',
  () => {
    const name = `wp-own-${process.pid}`;
    const ip = (...args: string[]) => execFileSync('ip', args);

    beforeAll(() => {
      ip('netns', 'add', name);
      const inside = (...args: string[]) => ip('-n', name, ...args);
      inside('link', 'set', 'lo', 'up');
      inside('address', 'add', '10.1.0.1/16', 'dev', 'lo');
      inside('address', 'add', 'fd02::1/64', 'dev', 'lo', 'nodad');
      inside('link', 'add', 'cable', 'type', 'veth', 'peer', 'other');
      inside('address', 'add', '10.2.0.1/16', 'dev', 'cable');
      for (const end of ['cable', 'other']) inside('link', 'set', end, 'up');
    });

    afterAll(() => {
      ip('netns', 'del', name);
    });

    // Whoever listens on every address of the machine, as the proxy may.
    const program = `
      import { connect, createServer } from 'node:net';
      import { once } from 'node:events';
      import { isOwnAddress } from './dist/net/own-addresses.js';
      const server = createServer((socket) => socket.destroy()).listen(0, '::');
      await once(server, 'listening');
      const result = [];
      for (const host of process.argv.slice(1)) {
        const socket = connect({ host, port: server.address().port });
        const reached = await Promise.race([
          once(socket, 'connect').then(() => true, () => false),
          new Promise((resolve) => setTimeout(resolve, 300, false)),
        ]);
        socket.destroy();
        result.push([host, reached, isOwnAddress(host)]);
      }
      console.log(JSON.stringify(result));
      process.exit();
    `;

    test('what the kernel connects to this machine is an address of this machine', () => {
      const hosts = ['10.1.0.1', '10.1.0.0', '10.1.77.3', '10.2.0.1', '10.2.0.9', 'fd02::1'];
      const output = ip(
        ...['netns', 'exec', name, process.execPath],
        ...['--input-type=module', '--eval', program, '--', ...hosts, '127.0.0.9', '0.0.0.0', '::'],
      );
      const result = JSON.parse(output.toString()) as [string, boolean, boolean][];
      const reached = result.filter(([, connected]) => connected).map(([host]) => host);
      expect(reached).toEqual([
        ...['10.1.0.1', '10.1.0.0', '10.1.77.3', '10.2.0.1', 'fd02::1'],
        ...['127.0.0.9', '0.0.0.0', '::'],
      ]);
      for (const [host, connected, isOwn] of result)
        expect([host, isOwn]).toEqual([host, connected]);
    });
  },
);
