import { expect, test } from 'vitest';
import { type BurstPart, findBursts } from '../src/report/bursts.ts';
import { allowCommand } from '../src/report/commands.ts';
import { domainOf } from '../src/report/domains.ts';

/** A denied name, first asked for so many seconds after noon. */
function part(host: string, seconds: number, change: Partial<BurstPart> = {}): BurstPart {
  return {
    ...{ event: 'egress', decision: 'deny', host, count: 1, domain: domainOf(host) },
    first: new Date(Date.UTC(2026, 10, 24, 12, 0, seconds)).toISOString(),
    isKnown: false,
    ...change,
  };
}

const many = (count: number, seconds: (index: number) => number, change = {}) =>
  Array.from({ length: count }, (_, index) => part(`n${index}.com`, seconds(index), change));

test.each<[string, BurstPart[], number]>([
  ['500 names at once', many(500, () => 3), 500],
  ['over a minute, across its end', many(500, (index) => 50 + Math.floor(index / 20)), 500],
  ['each asked for twice, as for A and AAAA', many(500, () => 3, { count: 2 }), 500],
  ['a few', many(19, () => 3), 0],
  ['as many, with time between them', many(100, (index) => index * 11), 0],
  ['names that were allowed', many(500, () => 3, { decision: 'allow' }), 0],
  ['what strangers asked ingress for', many(500, () => 3, { event: 'ingress' }), 0],
  [
    'names of one domain, which are one',
    Array.from({ length: 500 }, (_, index) => part(`n${index}.exfil.example`, 3)),
    0,
  ],
])('a burst: %s', (_what, parts, found) => {
  expect(findBursts(parts).size).toBe(found);
});

test.each<[string, BurstPart]>([
  ['was asked for more often', part('real.example', 3, { count: 2 })],
  ['was asked for at another time', part('real.example', -60)],
  ['is known', part('real.example', 3, { isKnown: true })],
])('what %s is in no burst', (_why, real) => {
  const all = many(500, () => 3);
  const found = findBursts([...all.slice(0, 250), real, ...all.slice(250)]);
  expect(found.size).toBe(500);
  expect(found.has(real)).toBe(false);
});

test.each([
  ['a.b.example.co.uk', 'example.co.uk'],
  ['x.github.io', 'x.github.io'],
  ['huggingface.co', 'huggingface.co'],
  ['localhost', null],
  ['10.1.2.3', null],
  ['2001:db8::1', null],
  ['', null],
  ['<img src=x>', null],
  [null, null],
])('the registrable domain of %s is %s', (host, domain) => {
  expect(domainOf(host)).toBe(domain);
});

const ALLOW = 'podman exec whisper-proxy whisper-proxy allow';

test.each([
  ['EGRESS_ALLOW_X=hf.co', null, `${ALLOW} hf.co --for 30m`],
  ['EGRESS_ALLOW_X=*.hf.co hf.co:80', null, `${ALLOW} '*.hf.co' hf.co:80 --for 30m`],
  ['EGRESS_ALLOW_X=[2001:db8::1]:443', null, `${ALLOW} '[2001:db8::1]:443' --for 30m`],
  ['EGRESS_ALLOW_X=10.1.0.0/16:443', null, `${ALLOW} 10.1.0.0/16:443 --for 30m`],
  ["EGRESS_ALLOW_X=a;b$(c)'d", null, `${ALLOW} 'a;b$(c)'\\''d' --for 30m`],
  [
    'EGRESS_ALLOW_X=hf.co',
    'EGRESS_MAX_UPLOAD_X=256KiB',
    `${ALLOW} hf.co --for 30m --max-upload 256KiB`,
  ],
])('the line %s with %s, for half an hour', (line, limit, command) => {
  expect(allowCommand(line, limit)).toBe(command);
});
