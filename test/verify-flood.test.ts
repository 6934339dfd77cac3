import { describe, expect, onTestFinished, test } from 'vitest';
import { isAsWanted, type Result } from '../src/verify/probe.ts';
import { AS_WHISPER, canVerify, OTHER, VerifyNetwork } from './helpers/verify-network.ts';

const LEFT = 'it left: nobody answered';

/** What is wrong with the network; the rest, only the seccomp profile closes. */
function wrongOf(probes: Result[]): string[] {
  return probes
    .filter(({ group }) => !['socket families', 'system calls', 'privileges'].includes(group))
    .filter((result) => !isAsWanted(result))
    .map(({ name, detail }) => `${name}, ${detail}`);
}

describe.skipIf(!canVerify())(
  'verify, where the gate gives no answer (needs root, iproute2, nft, setpriv, perl, IPv6)',
  { timeout: 300_000 },
  () => {
    test('while whisper floods, nothing is open that was closed', async () => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      await network.serve();
      await network.lock();
      await network.flood(50);
      const { probes } = await network.report('whisper', AS_WHISPER, ['--also', OTHER]);
      expect(wrongOf(probes)).toEqual([]);
    });

    test('while whisper floods, nothing is closed that was open', async () => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      await network.serve();
      await network.lock();
      network.relax('tcp dport 853 accept');
      network.relax('tcp sport 7860 accept');
      network.relax('meta l4proto tcp ip daddr 8.8.8.8 tcp dport 80 accept');
      await network.flood(50);
      const { probes } = await network.report('whisper', AS_WHISPER, ['--also', OTHER]);
      expect(wrongOf(probes)).toEqual([
        `TCP to 8.8.8.8, 80: ${LEFT}`,
        `DNS over TCP to 10.89.77.1, 853: ${LEFT}`,
        `DNS over TCP to 1.1.1.1, 853: ${LEFT}`,
        `DNS over TCP to 8.8.8.8, 853: ${LEFT}`,
        "TCP to the proxy from whisper's own port 7860, connected",
      ]);
    });

    test('where the kernel only drops, what is dropped and what leaves are told apart', async () => {
      const network = new VerifyNetwork();
      onTestFinished(() => network.remove());
      await network.serve();
      network.dropAllBut('tcp dport 8080 accept');
      const { probes } = await network.report('whisper', AS_WHISPER);
      const left = probes.filter(({ detail }) => detail.includes(LEFT));
      expect(left.map(({ name, detail }) => `${name}, ${detail}`)).toEqual([
        `TCP to the gateway 10.89.77.1, 8080: ${LEFT}`,
        `the proxy's other ports, TCP, 8080: ${LEFT}`,
      ]);
      expect(probes.find(({ name }) => name === 'TCP to 1.1.1.1')).toMatchObject({
        state: 'closed',
        detail: '80, 443, 3128: it was dropped',
      });
    });
  },
);
