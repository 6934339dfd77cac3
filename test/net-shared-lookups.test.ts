import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Resolve } from '../src/net/resolve.ts';
import { SharedLookups } from '../src/net/shared-lookups.ts';
import { records, resolverAsking, startDns } from './helpers/dns-server.ts';
import { isReserved } from './helpers/tools.ts';

const ADDRESS = '192.0.2.1';

/** A resolver whose answers the test gives. */
function underTest(answer: (name: string) => Promise<string[]>) {
  const begun: string[] = [];
  const cancelled: string[] = [];
  const resolve: Resolve = (name, signal) => {
    begun.push(name);
    signal?.addEventListener('abort', () => cancelled.push(name));
    return answer(name);
  };
  return { lookups: new SharedLookups(resolve), begun, cancelled };
}

const never = () => new Promise<never>(() => undefined);

/** What becomes of each, silent ones aside: the code of its error, or its addresses. */
const codeOf = (promise: Promise<string[]>) =>
  promise.catch((error: NodeJS.ErrnoException) => error.code ?? error.message);

describe('a name that several ask for', () => {
  test('is looked up once, and each has an answer of its own', async () => {
    let answer: (addresses: string[]) => void = () => undefined;
    const { lookups, begun } = underTest(() => new Promise((resolve) => (answer = resolve)));
    const all = [1, 2, 3].map(() => lookups.resolve('a.test'));
    answer([ADDRESS]);
    const [one, ...others] = await Promise.all(all);
    expect([one, ...others]).toEqual([[ADDRESS], [ADDRESS], [ADDRESS]]);
    one?.push('changed');
    expect(others[0]).toEqual([ADDRESS]);
    expect(begun).toEqual(['a.test']);
    const later = lookups.resolve('a.test');
    answer(['192.0.2.2']);
    expect(await later).toEqual(['192.0.2.2']);
    expect(begun).toHaveLength(2);
  });

  test('fails for all of them alike', async () => {
    const error = Object.assign(new Error('no'), { code: 'ENOTFOUND' });
    const { lookups, begun } = underTest(() => Promise.reject(error));
    const all = [1, 2].map(() => codeOf(lookups.resolve('a.test')));
    expect(await Promise.all(all)).toEqual(['ENOTFOUND', 'ENOTFOUND']);
    expect(begun).toHaveLength(1);
  });

  test('goes on while one of them waits, and ends when the last has gone', async () => {
    const { lookups, begun, cancelled } = underTest(never);
    const [one, other] = [new AbortController(), new AbortController()];
    const first = codeOf(lookups.resolve('a.test', one.signal));
    const second = codeOf(lookups.resolve('a.test', other.signal));
    one.abort(new Error('gone'));
    expect(await first).toBe('gone');
    expect(cancelled).toEqual([]);
    other.abort(new Error('gone too'));
    expect(await second).toBe('gone too');
    expect(cancelled).toEqual(['a.test']);
    // Whoever asks now does not join what has ended.
    codeOf(lookups.resolve('a.test'));
    expect(begun).toHaveLength(2);
  });

  test('is not looked up for one who has gone before', async () => {
    const { lookups, begun } = underTest(never);
    expect(await codeOf(lookups.resolve('a.test', AbortSignal.abort(new Error('gone'))))).toBe(
      'gone',
    );
    expect(begun).toEqual([]);
  });
});

describe('many names', () => {
  test('begin some at a time, in their order, as soon as others are answered', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const answers = new Map<string, (addresses: string[]) => void>();
    const { lookups, begun } = underTest(
      (name) => new Promise((resolve) => answers.set(name, resolve)),
    );
    const names = Array.from({ length: 200 }, (_, index) => `${index}.test`);
    for (const name of names) codeOf(lookups.resolve(name));
    expect(begun).toEqual(names.slice(0, 64));
    for (const name of ['3.test', '63.test']) answers.get(name)?.([ADDRESS]);
    await vi.advanceTimersByTimeAsync(0);
    expect(begun).toEqual(names.slice(0, 66));
    // Those that are silent have had their turn; they are under way all the same.
    await vi.advanceTimersByTimeAsync(250);
    expect(begun).toEqual(names.slice(0, 130));
  });

  test('that are silent hold up one that is answered at once no longer than a moment each', async () => {
    const { lookups } = underTest((name) =>
      name === 'good.test' ? Promise.resolve([ADDRESS]) : never(),
    );
    for (let index = 0; index < 255; index += 1) codeOf(lookups.resolve(`${index}.silent.test`));
    // After three times 250 ms; with threads, only after the time-outs of all before it.
    expect(await lookups.resolve('good.test')).toEqual([ADDRESS]);
  });

  test('that are silent are listened to all the same', async () => {
    const { lookups } = underTest((name) => sleep(1_200).then(() => [name]));
    const names = Array.from({ length: 128 }, (_, index) => `${index}.slow.test`);
    const answers = await Promise.all(names.map((name) => lookups.resolve(name)));
    expect(answers).toEqual(names.map((name) => [name]));
  });

  test('beyond what may be under way end the oldest', async () => {
    const { lookups, cancelled } = underTest(never);
    const outcomes = Array.from({ length: 300 }, (_, index) =>
      codeOf(lookups.resolve(`${index}.test`)),
    );
    expect(await Promise.race(outcomes)).toBe('EAI_AGAIN');
    await vi.waitFor(() => expect(cancelled).toHaveLength(44), 60_000);
    expect(cancelled).toEqual(Array.from({ length: 44 }, (_, index) => `${index}.test`));
  });

  test('beyond what may wait are refused at once, and those that are given up make room', async () => {
    const { lookups, begun } = underTest(never);
    const controllers = Array.from({ length: 64 + 8_192 }, () => new AbortController());
    const outcomes = controllers.map(({ signal }, index) =>
      codeOf(lookups.resolve(`${index}.test`, signal)),
    );
    expect(begun).toHaveLength(64);
    expect(await codeOf(lookups.resolve('one-more.test'))).toBe('EAI_AGAIN');
    for (const controller of controllers) controller.abort(new Error('gone'));
    expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['gone']));
    codeOf(lookups.resolve('room.test'));
    expect(begun.at(-1)).toBe('room.test');
  });

  test('5,000 at once are all answered, in their order', async () => {
    const { lookups, begun } = underTest((name) => sleep(1).then(() => [name]));
    const names = Array.from({ length: 5_000 }, (_, index) => `${index}.test`);
    const answers = await Promise.all(names.map((name) => lookups.resolve(name)));
    expect(answers).toEqual(names.map((name) => [name]));
    expect(begun).toEqual(names);
  });

  test.skipIf(isReserved(53))(
    '250 at once are all answered by a real server (port 53 of loopback)',
    async () => {
      const dns = await startDns((name, type) => ({
        answers: type === 'A' ? records(name, type, ADDRESS) : [],
      }));
      const { resolve } = new SharedLookups(resolverAsking([dns], '').resolve);
      const names = Array.from({ length: 250 }, (_, index) => `${index}.test`);
      const answers = await Promise.all(names.map((name) => codeOf(resolve(name))));
      expect(new Set(answers.map(String))).toEqual(new Set([ADDRESS]));
      const asked = new Set(dns.asked.filter((question) => question.startsWith('A ')));
      expect(asked.size).toBe(250);
    },
  );
});
