import { formatHostPort } from '../policy/host.ts';
import { askProxy, codeOf, say } from './ask.ts';
import { askTls, sayTls } from './ask-tls.ts';
import { clientHello } from './hello.ts';
import { askNameServer } from './name-server.ts';
import { type Outcome, type Probe, single } from './probe.ts';
import {
  ALLOWED_LIMIT_MS,
  type Allowed,
  EGRESS_PORT,
  isName,
  NO_NAME,
  type Targets,
  TLS_PORT,
} from './targets.ts';

const GROUP = 'what must work';

/** What must work: the proxy answers, and lets through what is allowed. */
export function workingProxyProbes({ proxy, allowed }: Targets): Probe[] {
  return [
    works(`the proxy answers on ${proxy}:${EGRESS_PORT}`, () => answers(proxy)),
    works('the name server answers whisper-proxy', () => isNamed(proxy, 'whisper-proxy')),
    ...allowed.flatMap((one) => allowedProbes(proxy, one)),
  ];
}

function allowedProbes(proxy: string, { host, port }: Allowed): Probe[] {
  const target = formatHostPort(host, port);
  const connect = works(`${target} is let through`, () => isLetThrough(proxy, target));
  if (!isName(host)) return [connect];
  const named = works(`the name server answers ${host}`, () => isNamed(proxy, host));
  if (port !== TLS_PORT) return [connect, named];
  return [connect, named, works(`${target} without CONNECT`, () => isServed(proxy, host))];
}

function works(name: string, run: () => Promise<Outcome>): Probe {
  return single(GROUP, name, 'open', run);
}

async function answers(proxy: string): Promise<Outcome> {
  const question = { method: 'CONNECT', target: `${NO_NAME}:443` } as const;
  try {
    const answer = await askProxy(proxy, EGRESS_PORT, question);
    if (answer.reason !== 'client_not_allowed') return { state: 'open', detail: say(answer) };
    return {
      state: 'closed',
      detail: 'it does not let whisper ask: EGRESS_CLIENTS must have its address',
    };
  } catch (error) {
    return { state: 'closed', detail: `no answer: ${codeOf(error)}` };
  }
}

async function isLetThrough(proxy: string, target: string): Promise<Outcome> {
  try {
    const question = { method: 'CONNECT', target } as const;
    const answer = await askProxy(proxy, EGRESS_PORT, question, ALLOWED_LIMIT_MS);
    return { state: answer.status === 200 ? 'open' : 'closed', detail: say(answer) };
  } catch (error) {
    return { state: 'closed', detail: `no answer: ${codeOf(error)}` };
  }
}

/** Whether a name stands for the proxy, which is where whisper has to go for it. */
async function isNamed(proxy: string, name: string): Promise<Outcome> {
  const answer = await askNameServer(proxy, 'udp', name);
  if (answer.kind === 'silence') {
    return { state: 'closed', detail: `no answer: ${answer.why}; is DNS_LISTEN set?` };
  }
  const { code, addresses } = answer;
  const isProxy = addresses.length === 1 && addresses[0] === proxy;
  return { state: isProxy ? 'open' : 'closed', detail: [code, ...addresses].join(' ') };
}

async function isServed(proxy: string, host: string): Promise<Outcome> {
  const answer = await askTls(proxy, TLS_PORT, clientHello(host), ALLOWED_LIMIT_MS);
  return { state: answer.kind === 'server_hello' ? 'open' : 'closed', detail: sayTls(answer) };
}
