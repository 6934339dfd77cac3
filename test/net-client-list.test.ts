import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createLogger } from '../src/log/logger.ts';
import { ClientList } from '../src/net/client-list.ts';
import type { ClientRule } from '../src/policy/clients.ts';
import { failing } from './helpers/proxy.ts';

const HOME = '10.89.0.5';
const OTHER = '10.89.0.6';
const RULES: ClientRule[] = [{ kind: 'name', name: 'session-manager' }];
const never = () => new Promise<never>(() => undefined);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A list of one name, which resolves to what the test says. */
function listOf(first: () => Promise<string[]>, rules = RULES) {
  const state = { answer: first, asked: 0 };
  const lines: { level: string; msg: string }[] = [];
  const logger = createLogger('info', { write: (text) => lines.push(JSON.parse(text)) });
  const resolve = () => {
    state.asked += 1;
    return state.answer();
  };
  return { list: new ClientList('INGRESS_CLIENTS', rules, resolve, logger), state, lines };
}

/** What becomes of a client, while the clock goes on. */
async function checkOf(list: ClientList, address: string) {
  const check = list.check(address);
  await vi.advanceTimersByTimeAsync(3_000);
  const outcome = await check;
  return outcome.allowed ? 'allowed' : (outcome.unresolved ?? 'not allowed');
}

const unresolved = (error: string) => ({ name: 'session-manager', error });

describe('a client whose name', () => {
  test.each<[what: string, answer: () => Promise<string[]>, outcome: unknown]>([
    ['resolves to it is let in', async () => [OTHER, HOME], 'allowed'],
    ['resolves to another address is not', async () => [OTHER], 'not allowed'],
    ['does not exist is not', failing('ENOTFOUND'), 'not allowed'],
    ['has no address is not', failing('ENODATA'), 'not allowed'],
    ['cannot be looked up may be it', failing('EAI_AGAIN'), unresolved('EAI_AGAIN')],
    ['is not answered may be it', never, unresolved('ETIMEDOUT')],
    ['fails in another way may be it', () => Promise.reject(new Error('?')), unresolved('UNKNOWN')],
  ])('%s', async (_, answer, outcome) => {
    const { list } = listOf(answer);
    expect(await checkOf(list, HOME)).toEqual(outcome);
  });

  test('is in the list beside its address does not need the name', async () => {
    const address = {
      kind: 'network' as const,
      network: (await import('../src/policy/addresses.ts')).parseNetwork(`${HOME}/32`),
    };
    const { list, state } = listOf(never, [...RULES, address]);
    expect(await list.check(HOME)).toEqual({ allowed: true });
    expect(state.asked).toBe(0);
  });

  test('cannot be looked up any more is let in for five minutes', async () => {
    const { list, state, lines } = listOf(async () => [HOME]);
    expect(await checkOf(list, HOME)).toBe('allowed');
    state.answer = failing('EAI_AGAIN');
    await vi.advanceTimersByTimeAsync(6_000);
    expect(await checkOf(list, HOME)).toBe('allowed');
    // Not somebody else, nor the client at another address.
    expect(await checkOf(list, OTHER)).toEqual(unresolved('EAI_AGAIN'));
    expect(list.problems()).toEqual([
      expect.stringMatching(
        /^session-manager in INGRESS_CLIENTS cannot be looked up \(EAI_AGAIN\)\. .* 10\.89\.0\.5, counts for 28\d s more\.$/,
      ),
    ]);
    await vi.advanceTimersByTimeAsync(270_000);
    expect(await checkOf(list, HOME)).toBe('allowed');
    await vi.advanceTimersByTimeAsync(20_000);
    expect(await checkOf(list, HOME)).toEqual(unresolved('EAI_AGAIN'));
    expect(list.problems()[0]).toMatch(/Until it can be looked up, its requests are rejected\.$/);
    state.answer = async () => [HOME];
    expect(await checkOf(list, HOME)).toBe('allowed');
    expect(list.problems()).toEqual([]);
    expect(lines.map(({ level }) => level)).toEqual(['warn', 'info']);
  });

  test('does not exist any more loses its address at once', async () => {
    const { list, state, lines } = listOf(async () => [HOME]);
    expect(await checkOf(list, HOME)).toBe('allowed');
    await vi.advanceTimersByTimeAsync(3_000);
    state.answer = failing('ENOTFOUND');
    expect(await checkOf(list, HOME)).toBe('not allowed');
    expect(list.problems()).toEqual([
      'INGRESS_CLIENTS names session-manager, which does not exist (ENOTFOUND). Its requests are rejected. Does a container of that name run on this network?',
    ]);
    // Neither does a failure bring it back.
    state.answer = failing('EAI_AGAIN');
    await vi.advanceTimersByTimeAsync(6_000);
    expect(await checkOf(list, HOME)).toEqual(unresolved('EAI_AGAIN'));
    expect(lines.map(({ msg }) => msg)).toHaveLength(2);
  });

  test('is answered no more does not wait for it, request after request', async () => {
    const { list, state } = listOf(async () => [HOME]);
    expect(await checkOf(list, HOME)).toBe('allowed');
    await vi.advanceTimersByTimeAsync(3_000);
    state.answer = never;
    const first = list.check(HOME);
    await vi.advanceTimersByTimeAsync(250);
    expect(await first).toEqual({ allowed: true });
    await vi.advanceTimersByTimeAsync(3_000);
    // The last look-up has failed, and another is under way: no timer has to pass.
    for (let count = 0; count < 3; count += 1)
      expect(await list.check(HOME)).toEqual({ allowed: true });
  });

  test('is asked for at most once a second, however many come', async () => {
    const { list, state } = listOf(failing('EAI_AGAIN'));
    for (let count = 0; count < 50; count += 1) {
      await list.check(HOME);
      await vi.advanceTimersByTimeAsync(100);
    }
    expect(state.asked).toBeLessThanOrEqual(6);
  });
});

describe('what may be a client, and so must not be reached', () => {
  const reached = ['10.89.0.5', '10.89.0.6', '8.8.8.8', '2606:4700::1111', 'fd00::1'];
  const closed = (list: ClientList) => reached.filter((address) => list.mayInclude(address));
  const PRIVATE = ['10.89.0.5', '10.89.0.6', 'fd00::1'];

  test('is all that is not public, until the name is known', async () => {
    const { list, state } = listOf(failing('EAI_AGAIN'));
    expect(closed(list)).toEqual(PRIVATE);
    await list.refresh();
    expect(closed(list)).toEqual(PRIVATE);
    await vi.advanceTimersByTimeAsync(1_000);
    state.answer = async () => [HOME];
    await list.refresh();
    expect(closed(list)).toEqual([HOME]);
    state.answer = failing('EAI_AGAIN');
    await vi.advanceTimersByTimeAsync(299_000);
    await list.refresh();
    expect(closed(list)).toEqual([HOME]);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(closed(list)).toEqual(PRIVATE);
    state.answer = failing('ENOTFOUND');
    await list.refresh();
    expect(closed(list)).toEqual([]);
  });

  test('is nothing without a list', () => {
    const list = new ClientList('EGRESS_CLIENTS', null, never, createLogger('silent'));
    expect(closed(list)).toEqual([]);
  });
});
