import { describe, expect, test } from 'vitest';
import { countForward, isLastHop } from '../src/http/max-forwards.ts';
import { open, readUntil, startIngress } from './helpers/ingress.ts';
import { startTarget } from './helpers/origin.ts';
import { startProxyTo } from './helpers/proxy.ts';
import { RawClient } from './helpers/raw-client.ts';
import { startRawUpstream } from './helpers/upstream.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';

test.each<[method: string, value: string, last: boolean, next: string]>([
  ['OPTIONS', '0', true, ''],
  ['TRACE', '0', true, ''],
  ['TRACE', '00', true, ''],
  ['OPTIONS', '1', false, '0'],
  ['TRACE', '010', false, '9'],
  ['OPTIONS', '9'.repeat(40), false, String(Number.MAX_SAFE_INTEGER - 1)],
  // For other methods, and where it is no number, the field says nothing.
  ['GET', '0', false, '0'],
  ['POST', '3', false, '3'],
  ['OPTIONS', '-1', false, '-1'],
  ['OPTIONS', 'x', false, 'x'],
  ['OPTIONS', '', false, ''],
])('%s with Max-Forwards: %s', (method, value, last, next) => {
  const headers = ['Host', 'a', 'max-Forwards', value];
  expect(isLastHop(method, headers)).toBe(last);
  if (!last) expect(countForward(method, headers)).toEqual(['Host', 'a', 'max-Forwards', next]);
});

test('two such fields say nothing', () => {
  const headers = ['Max-Forwards', '0', 'Max-Forwards', '3'];
  expect(isLastHop('TRACE', headers)).toBe(false);
  expect(countForward('TRACE', headers)).toEqual(headers);
});

describe.each(['OPTIONS', 'TRACE'])('%s', (method) => {
  test.each([
    ['0', null],
    ['5', '4'],
  ])('through ingress with Max-Forwards: %s', async (value, next) => {
    const heard: string[] = [];
    const { address } = await startRawUpstream((socket, head) => {
      heard.push(head);
      socket.end(OK);
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    client.write(`${method} /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: ${value}\r\n\r\n`);
    const answer = await readUntil(client, '\r\n\r\n');
    expect(answer).toMatch(next === null ? /^HTTP\/1.1 501 / : /^HTTP\/1.1 200 /);
    expect(heard).toHaveLength(next === null ? 0 : 1);
    if (next !== null) expect(heard[0]).toContain(`Max-Forwards: ${next}\r\n`);
  });

  test.each([
    ['0', null],
    ['5', '4'],
  ])('through egress with Max-Forwards: %s', async (value, next) => {
    const target = await startTarget((socket) => socket.once('data', () => socket.write(OK)));
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    const url = `http://origin.test:${target.port}/x`;
    client.send(`${method} ${url} HTTP/1.1\r\nHost: a\r\nMax-Forwards: ${value}\r\n\r\n`);
    const { status } = await client.answer();
    expect(status).toBe(next === null ? 501 : 200);
    expect(target.sockets).toHaveLength(next === null ? 0 : 1);
    if (next !== null) expect(target.received.join('')).toContain(`Max-Forwards: ${next}\r\n`);
    else {
      expect(proxy.decisions()).toMatchObject([
        { reason: 'bad_target', error: 'no_forwards_left', host: url },
      ]);
    }
  });
});
