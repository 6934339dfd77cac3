import { Gauge, type Registry } from 'prom-client';
import { readVersion } from '../version.ts';

/** Adds which version runs, and on which Node: a gauge that is always 1, with both as labels. */
export function addBuildMetric(registry: Registry): void {
  const info = new Gauge({
    name: 'whisper_proxy_build_info',
    help: 'Always 1; the labels are the version of whisper-proxy and that of Node.',
    labelNames: ['version', 'node'],
    registers: [registry],
  });
  info.set({ version: readVersion(), node: process.versions.node }, 1);
}
