import { isIPv6 } from 'node:net';
import { formatHostPort } from '../policy/host.ts';
import { refusedBy } from './ask.ts';
import type { Doors } from './doors.ts';
import type { Attempt, Probe } from './probe.ts';
import {
  ADMIN_PORT,
  DNS_PORT,
  EGRESS_PORT,
  HTTP_PORT,
  INGRESS_PORT,
  METADATA,
  NO_NAME,
  PUBLIC,
  PUBLIC_IPV6,
  portsOf,
  type Targets,
  TLS_PORT,
} from './targets.ts';
import type { Vantage } from './vantage.ts';

const GATEWAY_PORTS = [22, 53, 80, 443, INGRESS_PORT];

/**
 * What a program asks that knows of the proxy. A refusal is not enough where the proxy has tried
 * before: then it was allowed, and only failed.
 */
export function forwardProbes(doors: Doors, vantage: Vantage, targets: Targets): Probe[] {
  const { own, gateway } = vantage;
  const { proxy } = doors;
  const attempt = (method: 'GET' | 'CONNECT', target: string): Attempt => ({
    what: target,
    run: () =>
      doors.at(EGRESS_PORT, () => refusedBy('the proxy', proxy, EGRESS_PORT, { method, target })),
  });
  const refused = (name: string, hosts: string[]): Probe => ({
    group: 'through the proxy',
    name,
    want: 'closed',
    attempts: hosts.map((target) => attempt('CONNECT', target)),
  });
  return [
    refused(
      `CONNECT to the gateway ${gateway}`,
      GATEWAY_PORTS.map((port) => `${gateway}:${port}`),
    ),
    refused('CONNECT to the metadata address', [`${METADATA}:80`]),
    refused('CONNECT to whisper', [
      `${own}:${INGRESS_PORT}`,
      `whisper:${INGRESS_PORT}`,
      `whisper-gate:${INGRESS_PORT}`,
    ]),
    refused("CONNECT to the proxy's own addresses", ownTargets(proxy)),
    refused(
      'CONNECT to public addresses',
      [...PUBLIC, PUBLIC_IPV6].map((address) => formatHostPort(address, 443)),
    ),
    refused('CONNECT to the local network', [
      `${vantage.neighbour}:80`,
      `${vantage.broadcast}:80`,
      '224.0.0.1:80',
      '[fe80::1]:80',
    ]),
    refused('CONNECT to a name that does not exist', [`${NO_NAME}:443`]),
    ...targets.also.map((also) =>
      refused(
        `CONNECT to ${also.address}${also.port === null ? '' : ` port ${also.port}`}`,
        portsOf(also).map((port) => formatHostPort(also.address, port)),
      ),
    ),
    {
      group: 'through the proxy',
      name: 'plain HTTP',
      want: 'closed',
      attempts: [
        `http://${METADATA}/`,
        `http://${own}:${INGRESS_PORT}/`,
        `http://${proxy}:${ADMIN_PORT}/healthz`,
        `http://127.0.0.1:${ADMIN_PORT}/healthz`,
        `http://${PUBLIC[0]}/`,
        `http://${NO_NAME}/`,
      ].map((uri) => attempt('GET', uri)),
    },
  ];
}

function ownTargets(proxy: string): string[] {
  const ports = [EGRESS_PORT, TLS_PORT, HTTP_PORT, DNS_PORT, INGRESS_PORT, ADMIN_PORT];
  const names = [proxy, '127.0.0.1', '::1', 'localhost', 'whisper-proxy'];
  return names.flatMap((name) =>
    (isIPv6(name) || name === 'localhost' ? [ADMIN_PORT] : ports).map((port) =>
      formatHostPort(name, port),
    ),
  );
}
