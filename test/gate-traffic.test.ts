import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { canTryGate, GATE, GateHost } from './helpers/gate.ts';

const OUT = [53, 80, 443, 3128];
const OTHERS = [22, 7860, 9090, 27017];

describe.skipIf(!canTryGate())('what passes the gate (needs root, ip netns and nft)', () => {
  let host: GateHost;
  beforeEach(() => {
    host = new GateHost();
  });
  afterEach(() => host.remove());

  test('whisper reaches the ports of the proxy that are for it, and no other', async () => {
    await host.listen(host.far, [...OUT, ...OTHERS]);
    expect(host.reachable(host.near, '10.0.0.2', [...OUT, ...OTHERS])).toEqual([...OUT, ...OTHERS]);
    await host.hold();
    expect(host.reachable(host.near, '10.0.0.2', [...OUT, ...OTHERS])).toEqual(OUT);
  });

  test('the port that whisper answers from begins no connection', async () => {
    await host.listen(host.far, [3128]);
    expect(host.reachable(host.near, '10.0.0.2', [3128], 7860)).toEqual([3128]);
    await host.hold();
    expect(host.reachable(host.near, '10.0.0.2', [3128], 7860)).toEqual([]);
  });

  test('the proxy reaches the port of whisper, and no other', async () => {
    await host.listen(host.near, [7860, 22]);
    expect(host.reachable(host.far, '10.0.0.1', [7860, 22])).toEqual([7860, 22]);
    await host.hold();
    expect(host.reachable(host.far, '10.0.0.1', [7860, 22])).toEqual([7860]);
  });

  test('whisper sends under its own address alone', async () => {
    host.address(host.near, '10.0.0.7');
    const send = () =>
      host.inside([
        process.execPath,
        '-e',
        `const socket = require('node:dgram').createSocket('udp4');
         socket.bind(0, '10.0.0.7', () => socket.send('x', 53, '10.0.0.2', (error) => {
           console.log(error ? error.code : 'sent');
           socket.close();
         }));`,
      ]).stdout;
    expect(send()).toBe('sent\n');
    await host.hold();
    expect(send()).toBe('EPERM\n');
  });

  test('nobody but the proxy reaches whisper, and nobody reaches another address there', async () => {
    host.address(host.near, '10.0.0.7');
    host.address(host.far, '10.0.0.9');
    await host.listen(host.near, [7860]);
    const ways = () => [
      host.reachable(host.far, '10.0.0.1', [7860]),
      host.reachable(host.far, '10.0.0.1', [7860], 0, '10.0.0.9'),
      host.reachable(host.far, '10.0.0.7', [7860]),
    ];
    expect(ways()).toEqual([[7860], [7860], [7860]]);
    await host.hold();
    expect(ways()).toEqual([[7860], [], []]);
    // Nothing was refused on its way out, so nothing came in to be answered.
    const { stdout } = host.inside([GATE, 'refused']);
    expect(stdout).toMatch(/^0 ip saddr != 10\.0\.0\.1 *$/m);
    expect(stdout).toMatch(/^0 ip daddr != 10\.0\.0\.2 *$/m);
  });

  test('no connection begins at a port that answers come from', async () => {
    await host.listen(host.near, [22]);
    expect(host.reachable(host.far, '10.0.0.1', [22], 3128)).toEqual([22]);
    await host.hold();
    expect(host.reachable(host.far, '10.0.0.1', [22], 443)).toEqual([]);
  });

  test('loopback stays whole', async () => {
    await host.listen(host.near, [22]);
    await host.hold();
    expect(host.reachable(host.near, '127.0.0.1', [22])).toEqual([22]);
  });

  test('what was refused is counted', async () => {
    await host.listen(host.far, [22]);
    await host.hold();
    const count = () =>
      Number(/^(\d+) anything else$/m.exec(host.inside([GATE, 'refused']).stdout)?.[1]);
    const before = count();
    host.reachable(host.near, '10.0.0.2', [22]);
    expect(count()).toBeGreaterThan(before);
  });
});
