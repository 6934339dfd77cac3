import { Doors } from './doors.ts';
import { forwardProbes } from './forward-probes.ts';
import { lookupProbes } from './lookup-probes.ts';
import type { Probe } from './probe.ts';
import type { Targets } from './targets.ts';
import { transparentProbes } from './transparent-probes.ts';
import { tunnelProbes } from './tunnel-probes.ts';
import type { Vantage } from './vantage.ts';

/** The ways out through the proxy, by all of its doors: it must refuse all of them. */
export function throughProxyProbes(vantage: Vantage, targets: Targets): Probe[] {
  const doors = new Doors(targets.proxy);
  return [
    ...forwardProbes(doors, vantage, targets),
    ...tunnelProbes(doors, targets),
    ...transparentProbes(doors, vantage, targets),
    ...lookupProbes(doors, targets),
  ];
}
