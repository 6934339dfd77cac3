import { Gauge, type Registry } from 'prom-client';

/** Several who scrape cost whisper no more connections than one. */
const FRESH_MS = 5_000;

/**
 * Tells whether whisper listens.
 * @param isUp finds out.
 */
export function addUpstreamMetric(registry: Registry, isUp: () => Promise<boolean>): void {
  let asked = -Infinity;
  let answer: Promise<boolean> = Promise.resolve(false);
  const up = new Gauge({
    name: 'whisper_proxy_upstream_up',
    help: 'Whether whisper listens (1) or not (0), found out at most every five seconds.',
    registers: [registry],
    collect: async () => {
      if (performance.now() - asked >= FRESH_MS) {
        asked = performance.now();
        answer = isUp();
      }
      up.set((await answer) ? 1 : 0);
    },
  });
}
