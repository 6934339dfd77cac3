import { randomBytes } from 'node:crypto';
import type { Doors } from './doors.ts';
import { askNameServer, type NameServerAnswer, type RecordType } from './name-server.ts';
import type { Attempt, Outcome, Probe } from './probe.ts';
import { DNS_PORT, existingName, isName, type Targets } from './targets.ts';

/** Those that can carry something back, and one that asks for all. */
const OTHER_TYPES: readonly RecordType[] = ['TXT', 'NULL', 'MX', 'AAAA', 'HTTPS', 'ANY'];

/**
 * Look-ups: a name carries data to whoever is asked about it, and the answer carries some back. So the
 * proxy has to answer by itself, and nothing but what its rules say.
 */
export function lookupProbes(doors: Doors, { allowed }: Targets): Probe[] {
  const name = existingName(allowed);
  // New for each run, so that no answer comes from somebody's memory.
  const data = () => randomBytes(30).toString('hex');
  const labels = `${data()}.${data()}`;
  const ask = (
    what: string,
    transport: 'udp' | 'tcp',
    asked: string,
    type: RecordType,
    judge: (answer: NameServerAnswer) => Outcome,
  ): Attempt => ({
    what,
    run: () =>
      doors.at(DNS_PORT, async () =>
        judge(await askNameServer(doors.proxy, transport, asked, type)),
      ),
  });
  const denied = (asked: string): Attempt[] => [
    ask('UDP', 'udp', asked, 'A', judgeDenied),
    ask('TCP', 'tcp', asked, 'A', judgeDenied),
  ];
  const refused = (title: string, attempts: Attempt[]): Probe => ({
    group: 'through the proxy',
    name: title,
    want: 'closed',
    attempts,
  });
  const names = allowed.map(({ host }) => host).filter(isName);
  return [
    refused('names: a look-up that is passed on', denied(name)),
    refused('names: data in a long name', denied(`${labels}.${name}`)),
    refused('names: other records than addresses', [
      ...OTHER_TYPES.map((type) => ask(type, 'udp', name, type, judgeDenied)),
      ...names.map((host) => ask(`TXT of ${host}`, 'udp', host, 'TXT', judgeEmpty)),
    ]),
  ];
}

/** What an answer says about a name that must not exist for whisper, and that nobody else may be asked about. */
export function judgeDenied(answer: NameServerAnswer): Outcome {
  if (answer.kind === 'silence') return { state: 'unknown', detail: `no answer: ${answer.why}` };
  const { code, isOwn, records } = answer;
  if (code === 'SERVFAIL') return { state: 'unknown', detail: code };
  // Who asks others says of its answer that it has it from them.
  if (!isOwn) return { state: 'open', detail: `${code}, ${records} records, from elsewhere` };
  const isRefused = code === 'NXDOMAIN' || code === 'REFUSED';
  return {
    state: isRefused ? 'closed' : 'open',
    detail: isRefused ? code : `${code}, ${records} records`,
  };
}

/** The same, of a name that exists for whisper, but has an address and nothing else. */
export function judgeEmpty(answer: NameServerAnswer): Outcome {
  const isEmpty = answer.kind === 'answer' && answer.code === 'NOERROR' && answer.records === 0;
  if (isEmpty && answer.isOwn) return { state: 'closed', detail: 'no records' };
  return judgeDenied(answer);
}
