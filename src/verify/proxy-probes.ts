import { isIPv6 } from 'node:net';
import { formatHostPort } from '../policy/host.ts';
import { askProxy, codeOf, refusedBy, say } from './ask.ts';
import { askNameServer } from './name-server.ts';
import { CONNECTED, openConnection } from './packets.ts';
import { type Attempt, type Outcome, type Probe, single } from './probe.ts';
import {
  ADMIN_PORT,
  EGRESS_PORT,
  existingName,
  INGRESS_PORT,
  METADATA,
  NO_NAME,
  PUBLIC,
  PUBLIC_IPV6,
  portsOf,
  type Targets,
} from './targets.ts';
import type { Vantage } from './vantage.ts';

/** More than EGRESS_CONNECT_TIMEOUT, which is how long the proxy may take to give a host up. */
const ALLOWED_LIMIT_MS = 12_000;

const GATEWAY_PORTS = [22, 53, 80, 443, INGRESS_PORT];

/**
 * The ways out through the proxy: it must refuse all of them, and let through what is allowed. A
 * refusal is not enough where the proxy has tried before: then it was allowed, and only failed.
 */
export function throughProxyProbes(vantage: Vantage, targets: Targets): Probe[] {
  const { own, gateway } = vantage;
  const { proxy, allowed } = targets;
  let knocked: Promise<Outcome> | undefined;
  const attempt = (method: 'GET' | 'CONNECT', target: string): Attempt => ({
    what: target,
    run: async () => {
      // Once for all of them: where nobody answers, each would wait by itself.
      knocked ??= openConnection(proxy, EGRESS_PORT);
      const { detail } = await knocked;
      if (detail !== CONNECTED) return { state: 'unknown', detail: `no proxy: ${detail}` };
      return refusedBy('the proxy', proxy, EGRESS_PORT, method, target);
    },
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
    single('through the proxy', 'names: a look-up that is passed on', 'closed', () =>
      lookUp(proxy, existingName(allowed)),
    ),
  ];
}

/** What must work: the proxy answers, and lets through what is allowed. */
export function workingProxyProbes({ proxy, allowed }: Targets): Probe[] {
  const group = 'what must work';
  return [
    single(group, `the proxy answers on ${proxy}:${EGRESS_PORT}`, 'open', async () => {
      try {
        const answer = await askProxy(proxy, EGRESS_PORT, 'CONNECT', `${NO_NAME}:443`);
        if (answer.reason !== 'client_not_allowed') return { state: 'open', detail: say(answer) };
        return {
          state: 'closed',
          detail: 'it does not let whisper ask: EGRESS_CLIENTS must have its address',
        };
      } catch (error) {
        return { state: 'closed', detail: `no answer: ${codeOf(error)}` };
      }
    }),
    ...allowed.map(({ host, port }) => {
      const target = formatHostPort(host, port);
      return single(group, `${target} is let through`, 'open', async () => {
        try {
          const answer = await askProxy(proxy, EGRESS_PORT, 'CONNECT', target, ALLOWED_LIMIT_MS);
          return { state: answer.status === 200 ? 'open' : 'closed', detail: say(answer) };
        } catch (error) {
          return { state: 'closed', detail: `no answer: ${codeOf(error)}` };
        }
      });
    }),
  ];
}

function ownTargets(proxy: string): string[] {
  const ports = [EGRESS_PORT, INGRESS_PORT, ADMIN_PORT];
  const names = [proxy, '127.0.0.1', '::1', 'localhost', 'whisper-proxy'];
  return names.flatMap((name) =>
    (isIPv6(name) || name === 'localhost' ? [ADMIN_PORT] : ports).map((port) =>
      formatHostPort(name, port),
    ),
  );
}

async function lookUp(proxy: string, name: string): Promise<Outcome> {
  const answer = await askNameServer(proxy, 'udp', name);
  if (answer.kind === 'silence') return { state: 'closed', detail: `no answer: ${answer.why}` };
  const state = answer.code === 'NOERROR' && answer.records > 0 ? 'open' : 'closed';
  return { state, detail: `${name}: ${answer.code}, ${answer.records} records` };
}
