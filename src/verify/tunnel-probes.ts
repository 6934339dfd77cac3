import { formatHostPort } from '../policy/host.ts';
import { codeOf, openTunnel, say } from './ask.ts';
import { judgeHello, judgeNoTls, sendTls, type TlsAnswer } from './ask-tls.ts';
import type { Doors } from './doors.ts';
import { clientHello } from './hello.ts';
import type { Attempt, Outcome, Probe } from './probe.ts';
import { ALLOWED_LIMIT_MS, EGRESS_PORT, existingName, isName, type Targets } from './targets.ts';

const HTTPS_PORT = 443;
/** In a tunnel, the proxy has no other: all others come through it. */
const REFUSALS = ['unrecognized_name'];

/** What a tunnel to an allowed host may not be used for: it must carry TLS for this very host. */
export function tunnelProbes(doors: Doors, { allowed }: Targets): Probe[] {
  return allowed
    .filter(({ host, port }) => isName(host) && port === HTTPS_PORT)
    .flatMap(({ host, port }) => {
      const target = formatHostPort(host, port);
      const attempt = (
        what: string,
        bytes: Buffer,
        judge: (answer: TlsAnswer) => Outcome,
      ): Attempt => ({
        what,
        run: () => doors.at(EGRESS_PORT, () => tryTunnel(doors.proxy, target, bytes, judge)),
      });
      const hello = (name: string | null) =>
        attempt(name ?? 'no name', clientHello(name), (answer) => judgeHello(answer, REFUSALS));
      const group = 'through the proxy';
      return [
        {
          group,
          name: `another server in a tunnel to ${target}`,
          want: 'closed',
          attempts: [hello(existingName(allowed)), hello(null)],
        },
        {
          group,
          name: `something else than TLS in a tunnel to ${target}`,
          want: 'closed',
          // No more than the beginning: whoever is beyond would wait for the rest.
          attempts: [attempt('SSH', Buffer.from('SSH-'), judgeNoTls)],
        },
      ];
    });
}

async function tryTunnel(
  proxy: string,
  target: string,
  bytes: Buffer,
  judge: (answer: TlsAnswer) => Outcome,
): Promise<Outcome> {
  try {
    const question = { method: 'CONNECT', target } as const;
    const { answer, socket } = await openTunnel(proxy, EGRESS_PORT, question, ALLOWED_LIMIT_MS);
    if (socket === null) return { state: 'unknown', detail: `no tunnel: ${say(answer)}` };
    return judge(await sendTls(socket, bytes));
  } catch (error) {
    return { state: 'unknown', detail: `no answer from the proxy: ${codeOf(error)}` };
  }
}
