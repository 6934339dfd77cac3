import { type Question, refusedBy } from './ask.ts';
import { askTls, judgeHello, judgeNoTls } from './ask-tls.ts';
import type { Doors } from './doors.ts';
import { clientHello } from './hello.ts';
import { type Attempt, type Probe, single } from './probe.ts';
import {
  ADMIN_PORT,
  existingName,
  HTTP_PORT,
  INGRESS_PORT,
  METADATA,
  NO_NAME,
  PUBLIC,
  type Targets,
  TLS_PORT,
} from './targets.ts';
import type { Vantage } from './vantage.ts';

const GROUP = 'through the proxy';
/** For a name that is denied, and for what is no name. */
const REFUSALS = ['access_denied', 'unrecognized_name'];

/** What a program does that knows of no proxy, and takes the proxy for the server that it wants. */
export function transparentProbes(doors: Doors, vantage: Vantage, targets: Targets): Probe[] {
  return [...tlsProbes(doors, targets), ...httpProbes(doors, vantage)];
}

function tlsProbes(doors: Doors, { allowed }: Targets): Probe[] {
  const attempt = (name: string | null): Attempt => ({
    what: name ?? 'none',
    run: () =>
      doors.at(TLS_PORT, async () =>
        judgeHello(await askTls(doors.proxy, TLS_PORT, clientHello(name)), REFUSALS),
      ),
  });
  const refused = (name: string, names: (string | null)[]): Probe => ({
    group: GROUP,
    name: `TLS to ${name}`,
    want: 'closed',
    attempts: names.map(attempt),
  });
  return [
    refused('a name that exists', [existingName(allowed)]),
    refused('a name that does not exist', [NO_NAME]),
    refused('the metadata address', [METADATA]),
    refused('the proxy and whisper, by their names', [
      'localhost',
      'whisper-proxy',
      'whisper',
      'whisper-gate',
    ]),
    refused('no name', [null]),
    single(GROUP, "what is no TLS, on TLS's port", 'closed', () =>
      doors.at(TLS_PORT, async () =>
        judgeNoTls(await askTls(doors.proxy, TLS_PORT, Buffer.from('SSH-'))),
      ),
    ),
  ];
}

function httpProbes(doors: Doors, { own, gateway }: Vantage): Probe[] {
  const { proxy } = doors;
  const attempt = (what: string, question: Question): Attempt => ({
    what,
    run: () => doors.at(HTTP_PORT, () => refusedBy('the proxy', proxy, HTTP_PORT, question)),
  });
  const refused = (name: string, hosts: string[], target = '/'): Probe => ({
    group: GROUP,
    name: `HTTP to ${name}`,
    want: 'closed',
    attempts: hosts.map((host) => attempt(host, { method: 'GET', target, host })),
  });
  return [
    refused('the metadata address', [METADATA]),
    refused('the gateway', [gateway, `${gateway}:${INGRESS_PORT}`]),
    refused('whisper', [own, ...[own, 'whisper', 'whisper-gate'].map(withPort(INGRESS_PORT))]),
    refused(
      "the proxy's own addresses",
      [proxy, ...[proxy, '127.0.0.1', 'localhost', 'whisper-proxy'].map(withPort(ADMIN_PORT))],
      '/healthz',
    ),
    refused('a public address', [PUBLIC[0]]),
    refused('a name that does not exist', [NO_NAME]),
    {
      group: GROUP,
      name: "CONNECT, on HTTP's port",
      want: 'closed',
      attempts: [`${NO_NAME}:443`, `${PUBLIC[0]}:443`].map((target) =>
        attempt(target, { method: 'CONNECT', target }),
      ),
    },
  ];
}

function withPort(port: number): (host: string) => string {
  return (host) => `${host}:${port}`;
}
