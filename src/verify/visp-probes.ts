import { formatHostPort } from '../policy/host.ts';
import { askProxy, codeOf, isUnrecognised, refusedBy, say } from './ask.ts';
import { askTls, sayTls } from './ask-tls.ts';
import { clientHello } from './hello.ts';
import { askNameServer } from './name-server.ts';
import { awaitRefusal, openConnection } from './packets.ts';
import { type Attempt, type Outcome, type Probe, single } from './probe.ts';
import {
  ADMIN_PORT,
  type Allowed,
  type Also,
  EGRESS_PORT,
  existingName,
  HTTP_PORT,
  INGRESS_PORT,
  isName,
  METADATA,
  NO_NAME,
  PUBLIC,
  portsOf,
  TLS_PORT,
} from './targets.ts';

/** What an ordinary container on visp-net tries. */
export interface VispTargets {
  /** What the name `whisper` stands for on visp-net; null if it is not known there. */
  ingress: string | null;
  /** The proxy's address on whisper-net. */
  proxy: string;
  whisper: string;
  /** Tried through ingress. */
  also: Also[];
  /** Asked of egress: it lets them through, but not for this container. */
  allowed: Allowed[];
  /** Whether INGRESS_CLIENTS names this container. */
  ingressAllowed: boolean;
}

/** What a container on visp-net must not reach, and the one thing that it may. */
export function vispProbes(targets: VispTargets): Probe[] {
  const { ingress, proxy, whisper, allowed } = targets;
  const host = allowed[0] ?? { host: existingName([]), port: 443 };
  const doors = [...new Set(ingress === null ? [proxy] : [ingress, proxy])];
  return [
    ...doors.flatMap((address) => doorProbes(address, host)),
    {
      group: 'whisper',
      name: `whisper itself, ${whisper}, TCP`,
      want: 'closed',
      attempts: [22, 80, INGRESS_PORT].map((port) => ({
        what: String(port),
        run: () => openConnection(whisper, port),
      })),
    },
    single('whisper', `whisper itself, ${whisper}, UDP`, 'closed', () => awaitRefusal(whisper, 9)),
    ...ingressProbes(targets),
  ];
}

/** The proxy's doors that are for whisper alone, or for itself. */
function doorProbes(address: string, host: Allowed): Probe[] {
  const target = formatHostPort(host.host, host.port);
  const group = `the proxy at ${address}`;
  return [
    single(group, `egress at ${address}, CONNECT`, 'closed', () =>
      egress(address, EGRESS_PORT, 'CONNECT', target),
    ),
    single(group, `egress at ${address}, plain HTTP`, 'closed', () =>
      egress(address, EGRESS_PORT, 'GET', `http://${host.host}/`),
    ),
    single(group, `egress at ${address}, port 80`, 'closed', () =>
      egress(address, HTTP_PORT, 'GET', `http://${host.host}/`),
    ),
    single(group, `egress at ${address}, port 443`, 'closed', () => egressTls(address, host.host)),
    single(group, `DNS at ${address}`, 'closed', () => lookUp(address, 'udp', host.host)),
    single(group, `DNS over TCP at ${address}`, 'closed', () => lookUp(address, 'tcp', host.host)),
    single(group, `admin at ${address}`, 'closed', () => admin(address)),
  ];
}

function ingressProbes({ ingress, ingressAllowed, also }: VispTargets): Probe[] {
  const group = 'ingress';
  const want = ingressAllowed ? 'open' : 'closed';
  if (ingress === null) {
    const detail = 'the name whisper is not known here; is this container on visp-net?';
    return [single(group, 'the name whisper', want, async () => ({ state: 'unknown', detail }))];
  }
  const ask = (method: 'GET' | 'CONNECT', target: string) =>
    refusedBy('ingress', ingress, INGRESS_PORT, { method, target });
  const through: Attempt[] = [
    `${METADATA}:80`,
    `${PUBLIC[0]}:443`,
    `${NO_NAME}:443`,
    ...also.flatMap((one) => portsOf(one).map((port) => formatHostPort(one.address, port))),
  ].flatMap((target) => [
    { what: `CONNECT ${target}`, run: () => ask('CONNECT', target) },
    { what: `http://${target}/`, run: () => ask('GET', `http://${target}/`) },
  ]);
  return [
    single(group, `whisper through http://whisper:${INGRESS_PORT}`, want, () => knock(ingress)),
    { group, name: 'ingress as a way elsewhere', want: 'closed', attempts: through },
  ];
}

/** Whether ingress lets this container in. That whisper is down is another matter. */
async function knock(ingress: string): Promise<Outcome> {
  try {
    const answer = await askProxy(ingress, INGRESS_PORT, { method: 'GET', target: '/' });
    const isStranger = answer.reason === 'client_not_allowed' || isUnrecognised(answer);
    return { state: isStranger ? 'closed' : 'open', detail: say(answer) };
  } catch (error) {
    return { state: 'unknown', detail: `no answer from ingress: ${codeOf(error)}` };
  }
}

/**
 * Whether egress serves this container. That it can be connected to is no fault: podman does not keep
 * its networks apart, and so the proxy has to know its clients.
 */
async function egress(
  address: string,
  port: number,
  method: 'GET' | 'CONNECT',
  target: string,
): Promise<Outcome> {
  try {
    const answer = await askProxy(address, port, { method, target });
    const isRefused = answer.status === 403 && answer.reason === 'client_not_allowed';
    return { state: isRefused ? 'closed' : 'open', detail: say(answer) };
  } catch (error) {
    return unserved(error);
  }
}

/** Whatever comes is from beyond, or shows that somebody was served: a stranger's connection is reset. */
async function egressTls(address: string, host: string): Promise<Outcome> {
  // An address is no server name (RFC 6066, section 3).
  const hello = clientHello(isName(host) ? host : null);
  const answer = await askTls(address, TLS_PORT, hello);
  const detail = sayTls(answer);
  if (answer.kind === 'end' || answer.kind === 'unreached') return { state: 'closed', detail };
  // Somebody holds the connection, perhaps while dialling for us.
  return { state: answer.kind === 'silence' ? 'unknown' : 'open', detail };
}

async function lookUp(address: string, transport: 'udp' | 'tcp', name: string): Promise<Outcome> {
  const answer = await askNameServer(address, transport, name);
  if (answer.kind === 'silence') return { state: 'closed', detail: answer.why };
  const { code, records } = answer;
  return {
    state: code === 'REFUSED' ? 'closed' : 'open',
    detail: `${name}: ${code}, ${records} records`,
  };
}

/**
 * Here a refusal is as it should be: what must not be reached is the listener. Where an operator has
 * published the status page it is, and ADMIN_TOKEN has to keep others out.
 */
async function admin(address: string): Promise<Outcome> {
  const outcome = await openConnection(address, ADMIN_PORT);
  if (outcome.detail.includes('ECONNREFUSED')) {
    return { state: 'closed', detail: 'nothing listens there' };
  }
  if (outcome.state !== 'open') return outcome;
  const host = formatHostPort(address, ADMIN_PORT);
  const question = { method: 'GET', target: '/decisions', host } as const;
  const answer = await askProxy(address, ADMIN_PORT, question).catch(() => null);
  return answer?.status === 401 ? { state: 'closed', detail: 'it wants ADMIN_TOKEN' } : outcome;
}

function unserved(error: unknown): Outcome {
  return { state: 'closed', detail: codeOf(error) };
}
