import { describe, expect, test } from 'vitest';
import { boundsFor } from '../src/verify/bounds.ts';
import { networkProbes } from '../src/verify/network-probes.ts';
import { countAttempts, runProbes } from '../src/verify/probe.ts';
import { throughProxyProbes } from '../src/verify/proxy-probes.ts';
import { TcpProber } from '../src/verify/tcp-prober.ts';
import { describeVantage } from '../src/verify/vantage.ts';

test('packets are sent one after the other, and not all at once after a hold-up', async () => {
  const since = performance.now();
  const begun: number[] = [];
  const attempts = Array.from({ length: 8 }, (_, index) => ({
    what: '',
    kind: 'packet' as const,
    run: async () => {
      begun.push(performance.now() - since);
      while (index === 1 && performance.now() - since < 300);
      return { state: 'closed', detail: 'EPERM' } as const;
    },
  }));
  const bounds = {
    atOnce: { request: 1, packet: 8, share: 1 },
    apartMs: 20,
    limitMs: 5_000,
    totalMs: 5_000,
  };
  await runProbes([{ group: 'g', name: 'n', want: 'closed', attempts }], bounds);
  const gaps = begun.slice(1).map((time, index) => time - (begun[index] ?? 0));
  expect(Math.min(...gaps)).toBeGreaterThan(15);
});

describe('the bounds', () => {
  const vantage = describeVantage(
    'eth0',
    { address: '10.89.77.3', netmask: '255.255.255.0' },
    [],
    [],
  );

  function boundsWith(count: number) {
    const also = Array.from({ length: count }, (_, index) => ({
      address: `10.${index >> 8}.${index & 255}.9`,
      port: null,
    }));
    const targets = { proxy: '10.89.77.2', also, allowed: [] };
    const network = networkProbes(vantage, targets, new TcpProber());
    const probes = [...network, ...throughProxyProbes(vantage, targets)];
    return { ...boundsFor(probes), packets: countAttempts(probes, 'packet') };
  }

  test('leave time for all that is asked, even if every packet vanishes', () => {
    for (const count of [0, 15, 60, 300]) {
      const { atOnce, totalMs, packets } = boundsWith(count);
      expect(packets).toBeGreaterThan(count * 16);
      expect(totalMs).toBeGreaterThan(Math.ceil(packets / atOnce.packet) * 2_500 + 16_000);
    }
  });

  test('are bounds all the same', () => {
    expect(boundsWith(0).totalMs).toBeLessThan(35_000);
    expect(boundsWith(60).totalMs).toBeLessThan(100_000);
    expect(boundsWith(5_000).totalMs).toBe(300_000);
  });
});
