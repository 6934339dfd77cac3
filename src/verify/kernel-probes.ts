import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Attempt, fold, type Outcome, type Probe, type State, type Tried } from './probe.ts';
import { PUBLIC, type Targets } from './targets.ts';
import type { Vantage } from './vantage.ts';

const HELPER = fileURLToPath(new URL('./kernel-probe.pl', import.meta.url));
/** As for the other connections. */
const ANSWER_LIMIT_S = 2.5;
/** Its probes have an alarm at 8 s each, and few take longer than an instant. */
const LIMIT_MS = 15_000;

/** What the helper is asked: the id of a probe, its group and its name. */
type Entry = readonly [id: string, group: string, name: string];

const CLOSED: readonly Entry[] = [
  ['bind-to-device', 'other ways to send', 'around the routes (SO_BINDTODEVICE)'],
  ['source-port', 'other ways to send', "TCP to the proxy from whisper's own port 7860"],
  ['fast-open', 'other ways to send', 'TCP fast open: data in the first packet'],
  ['fragments', 'other ways to send', 'UDP in fragments'],
  ['sender', 'other ways to send', "UDP in the proxy's name"],
  ['ip-options', 'other ways to send', 'IP options'],
  ['mptcp', 'other ways to send', 'MPTCP'],
  ['udp-lite', 'other ways to send', 'UDP-Lite'],
  ['sctp', 'other ways to send', 'SCTP'],
  ['dccp', 'other ways to send', 'DCCP'],
  ['ping', 'other ways to send', 'ICMP, from a ping socket'],
  ['icmp-raw', 'other ways to send', 'ICMP, from a raw socket'],
  ['ip-raw', 'other ways to send', 'bare IP with a false sender, from a raw socket'],
  ['ping6', 'other ways to send', 'ICMPv6, from a ping socket'],
  ['icmp6-raw', 'other ways to send', 'ICMPv6, from a raw socket'],
  ['packet', 'socket families', 'packet sockets (AF_PACKET)'],
  ['vsock', 'socket families', 'to the hypervisor (AF_VSOCK)'],
  ['other-families', 'socket families', 'all others but UNIX, INET, INET6 and NETLINK'],
  ['netlink', 'socket families', 'netlink of all kinds but NETLINK_ROUTE'],
  ['rtnetlink', 'system calls', 'adding an address, a route, a device (rtnetlink)'],
  ['user-namespace', 'system calls', 'a user namespace'],
  ['clone', 'system calls', 'a user namespace, by clone'],
  ['clone3', 'system calls', 'clone3, whose flags no filter can see'],
  ['network-namespace', 'system calls', 'a network namespace'],
  ['mount-namespace', 'system calls', 'a mount namespace'],
  ['pid-namespace', 'system calls', 'a PID namespace'],
  ['ipc-namespace', 'system calls', 'an IPC namespace'],
  ['uts-namespace', 'system calls', 'a UTS namespace'],
  ['cgroup-namespace', 'system calls', 'a cgroup namespace'],
  ['time-namespace', 'system calls', 'a time namespace'],
  ['setns', 'system calls', 'entering a namespace (setns)'],
  ['add-key', 'system calls', 'keyrings: add_key'],
  ['request-key', 'system calls', 'keyrings: request_key'],
  ['keyctl', 'system calls', 'keyrings: keyctl'],
  ['bpf', 'system calls', 'bpf'],
  ['io-uring', 'system calls', 'io_uring'],
  ['userfaultfd', 'system calls', 'userfaultfd'],
  ['perf-event', 'system calls', 'perf_event_open'],
  ['mount', 'system calls', 'mount'],
  ['umount2', 'system calls', 'umount2'],
  ['pivot-root', 'system calls', 'pivot_root'],
  ['mount-files', 'system calls', 'mounts by file descriptor (fsopen and its kin)'],
  ['kexec', 'system calls', 'another kernel (kexec)'],
  ['modules', 'system calls', 'kernel modules'],
  ['file-handle', 'system calls', 'open_by_handle_at'],
];

const OPEN: readonly Entry[] = [
  ['needed-families', 'what must work', 'sockets that whisper needs: UNIX, INET, NETLINK'],
];

/** The one that whisper itself stands in the way of. Whatever else was not tried is a failure. */
const MAY_BE_UNTRIED = 'source-port';

/** A line that the helper has printed. */
interface Line {
  id: string;
  what: string;
  state: State;
  detail: string;
}

/**
 * The ways out that Node has no call for: protocols, socket options and families, system calls. A
 * small Perl program tries them, once for all of them. Where it does not run to its end, what it has
 * not found open is unknown.
 * @param helper the interpreter (in the image, Debian's essential one), and how long it may take.
 */
export function kernelProbes(
  vantage: Vantage,
  { proxy }: Targets,
  { perl = 'perl', limitMs = LIMIT_MS } = {},
): Probe[] {
  let running: Promise<Map<string, Outcome>> | undefined;
  const outcomes = () => {
    running ??= runHelper((args) => run(perl, args, limitMs), {
      proxy,
      gateway: vantage.gateway,
      public: PUBLIC[0],
      own: vantage.own,
      device: vantage.device,
      limit: String(ANSWER_LIMIT_S),
    });
    return running;
  };
  const attempt = (id: string): Attempt => ({
    what: '',
    kind: 'share',
    run: async () =>
      (await outcomes()).get(id) ?? { state: 'unknown', detail: 'the helper did not try it' },
  });
  const probe =
    (want: Probe['want']) =>
    ([id, group, name]: Entry): Probe => ({ group, name, want, attempts: [attempt(id)] });
  return [...CLOSED.map(probe('closed')), ...OPEN.map(probe('open'))];
}

async function runHelper(
  run: (args: string[]) => Promise<Run>,
  parameters: Record<string, string>,
): Promise<Map<string, Outcome>> {
  const { output, failure } = await run([
    HELPER,
    ...Object.entries(parameters).map(([name, value]) => `${name}=${value}`),
  ]);
  const lines = output.split('\n').flatMap(readLine);
  const isComplete = failure === null && lines.some(({ id }) => id === 'done');
  const tried = new Map<string, Tried[]>();
  for (const { id, what, state, detail } of lines) {
    tried.set(id, [...(tried.get(id) ?? []), { what, state, detail }]);
  }
  const cut: Tried = {
    what: '',
    state: 'unknown',
    detail: `the Perl helper did not get to its end: ${failure ?? 'it said nothing more'}`,
  };
  const ids = [...CLOSED, ...OPEN].map(([id]) => id);
  return new Map(
    ids.map((id) => [id, fold([...(tried.get(id) ?? []), ...(isComplete ? [] : [cut])])]),
  );
}

interface Run {
  output: string;
  /** Why it did not end by itself, with status 0; null if it did. */
  failure: string | null;
}

function run(perl: string, args: string[], limitMs: number): Promise<Run> {
  return new Promise((resolve) => {
    const child = spawn(perl, args, {
      // Without an environment: PERL5LIB or PERL5OPT would have a say.
      env: { PATH: process.env.PATH, LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own: its probes are processes too, and have to end with it.
      detached: true,
    });
    let output = '';
    let errors = '';
    child.stdout.on('data', (text) => {
      output += String(text);
    });
    child.stderr.on('data', (text) => {
      errors += String(text).slice(0, 1_000);
    });
    const settle = (failure: string | null) => {
      clearTimeout(timer);
      resolve({ output, failure });
    };
    const timer = setTimeout(() => {
      // What it has said so far counts. A probe that not even this ends would hold the pipe open.
      settle(`nothing more within ${limitMs / 1000} s`);
      killGroup(child.pid);
    }, limitMs);
    child.once('error', (error) => settle(error.message));
    child.once('close', (status, signal) => {
      const end = signal === null ? `exit status ${status}` : `ended by ${signal}`;
      const [said = ''] = errors.split('\n');
      settle(status === 0 ? null : `${end} ${said}`.trim());
    });
  });
}

function killGroup(leader: number | undefined): void {
  if (leader === undefined) return;
  try {
    process.kill(-leader, 'SIGKILL');
  } catch {
    // All of it has ended.
  }
}

function readLine(text: string): Line[] {
  if (text === '') return [];
  try {
    const line = JSON.parse(text) as Line;
    const isExcused = line.state !== 'untried' || line.id === MAY_BE_UNTRIED;
    return [isExcused ? line : { ...line, state: 'unknown' }];
  } catch {
    return [];
  }
}
