import { lookup } from 'node:dns/promises';
import { isIPv4 } from 'node:net';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseHost } from '../policy/host.ts';
import { parsePort } from '../policy/target.ts';
import { boundsFor } from '../verify/bounds.ts';
import { kernelProbes } from '../verify/kernel-probes.ts';
import { networkProbes } from '../verify/network-probes.ts';
import { privilegeProbes } from '../verify/privilege-probes.ts';
import { isAsWanted, type Probe, type Result, runProbes, single } from '../verify/probe.ts';
import { throughProxyProbes } from '../verify/proxy-probes.ts';
import { formatTable } from '../verify/table.ts';
import { type Allowed, type Also, PROXY, type Targets, WHISPER } from '../verify/targets.ts';
import { TcpProber } from '../verify/tcp-prober.ts';
import { readVantage, VantageError } from '../verify/vantage.ts';
import { vispProbes } from '../verify/visp-probes.ts';
import { workingProxyProbes } from '../verify/working-probes.ts';
import { outputLook } from './terminal.ts';
import { answerUsage } from './usage.ts';

const HELP = `
Run it where whisper runs, and as whisper runs:

  podman run --rm --network container:whisper-gate --cap-drop=all \\
    --security-opt=no-new-privileges --security-opt=seccomp=PATH/whisper-seccomp.json IMAGE verify

What it sends: to each address one attempt to connect or one empty datagram a port, a few ICMP packets,
a datagram in fragments, and to the proxy requests, look-ups and TLS that it must refuse. Where: the gateway, a neighbour, broadcast
and multicast of the network that it is on, 169.254.169.254, the proxy, whatever --also names, and, as the
ones on the internet, 1.1.1.1, 8.8.8.8 and 2606:4700:4700::1111. From visp-net: the proxy and whisper alone.
System calls are made so that nothing comes of them where they are allowed.

While whisper listens on port 7860, the kernel lets nobody else begin a connection there: that is told as
untried, and is no failure. With many --also it takes longer, up to 5 minutes.

Exit status: 0 all is as it must be, 1 something is not, or could not be tried, 2 usage.`;

interface VerifyOptions {
  from: 'whisper' | 'visp-net';
  json?: boolean;
  proxy?: string;
  whisper?: string;
  also?: Also[];
  allowed?: Allowed[];
  ingressAllowed?: boolean;
}

/** Adds `whisper-proxy verify`, with its options and its exit statuses, to a program. */
export function add(program: Command): void {
  answerUsage(program.command('verify'))
    .description("try every way out from whisper's place, and see that all of them are closed")
    .addOption(
      new Option('--from <place>', 'where this is run')
        .choices(['whisper', 'visp-net'])
        .default('whisper'),
    )
    .option('--json', 'one JSON document instead of the table')
    .option('--proxy <address>', `the proxy on whisper-net (default: ${PROXY})`, parseIpv4)
    .option(
      '--whisper <address>',
      `whisper on whisper-net; from visp-net only (default: ${WHISPER})`,
      parseIpv4,
    )
    .option(
      '--also <address[:port]>',
      'another container, an address of the host, a published port; may be repeated. From visp-net it is tried through ingress',
      collect(parseAlso),
    )
    .option(
      '--allowed <host[:port]>',
      'a host that the allowlist lets through (port 443); may be repeated',
      collect(parseAllowed),
    )
    .option('--ingress-allowed', 'INGRESS_CLIENTS names this container; from visp-net only')
    .addHelpText('after', HELP)
    .action((options: VerifyOptions, command: Command) => verify(options, command));
}

async function verify(options: VerifyOptions, command: Command): Promise<void> {
  const { from, json = false } = options;
  if (from === 'whisper' && (options.ingressAllowed || options.whisper !== undefined)) {
    command.error('error: --ingress-allowed and --whisper need --from visp-net');
  }
  const probes = from === 'whisper' ? fromWhisper(options) : await fromVispNet(options);
  const showing = process.stderr.isTTY ? showProgress(probes) : { probes, clear: () => undefined };
  const results = await runProbes(showing.probes, boundsFor(probes));
  showing.clear();
  const ok = results.length > 0 && results.every(isAsWanted);
  // Without waiting for what was given up: its own time-outs may be longer.
  const end = () => process.exit(ok ? 0 : 1);
  process.stdout.write(json ? toJson(from, ok, results) : toTable(results), end);
}

/** Probes that say on standard error how many attempts are over; it takes up to half a minute. */
function showProgress(probes: readonly Probe[]): { probes: Probe[]; clear: () => void } {
  const total = probes.reduce((sum, { attempts }) => sum + attempts.length, 0);
  let done = 0;
  const show = () => process.stderr.write(`\rtried ${done} of ${total}`);
  show();
  const counted = probes.map((probe) => ({
    ...probe,
    attempts: probe.attempts.map((attempt) => ({
      ...attempt,
      run: () =>
        attempt.run().finally(() => {
          done += 1;
          show();
        }),
    })),
  }));
  return { probes: counted, clear: () => process.stderr.write('\r\u001b[K') };
}

function fromWhisper(options: VerifyOptions): Probe[] {
  const { proxy = PROXY, also = [], allowed = [] } = options;
  const targets: Targets = { proxy, also, allowed };
  try {
    const vantage = readVantage(proxy);
    return [
      ...networkProbes(vantage, targets, new TcpProber()),
      ...throughProxyProbes(vantage, targets),
      ...kernelProbes(vantage, targets),
      ...privilegeProbes(),
      ...workingProxyProbes(targets),
    ];
  } catch (error) {
    if (!(error instanceof VantageError)) throw error;
    return [nowhere(error.message)];
  }
}

async function fromVispNet(options: VerifyOptions): Promise<Probe[]> {
  const { proxy = PROXY, whisper = WHISPER, ingressAllowed = false } = options;
  const { also = [], allowed = [] } = options;
  const ingress = await lookup('whisper', { family: 4 }).catch(() => null);
  const address = ingress?.address ?? null;
  return vispProbes({ ingress: address, proxy, whisper, also, allowed, ingressAllowed });
}

function nowhere(detail: string): Probe {
  return single('what must work', 'a network', 'open', async () => ({ state: 'unknown', detail }));
}

function toJson(from: string, ok: boolean, results: readonly Result[]): string {
  const probes = results.map(({ group, name, want, state, detail }) => ({
    group,
    name,
    want,
    state,
    detail,
  }));
  return `${JSON.stringify({ from, ok, probes }, null, 2)}\n`;
}

function toTable(results: readonly Result[]): string {
  const look = outputLook();
  // As quadlets/install has it, whose terminal this container does not see.
  return formatTable(results, {
    ...look,
    width: look.width ?? (Number(process.env.COLUMNS) || null),
  });
}

function parseIpv4(text: string): string {
  if (!isIPv4(text)) {
    throw new InvalidArgumentError(`It must be an IPv4 address, as in ${PROXY}.`);
  }
  return text;
}

function parseAlso(text: string): Also {
  const [address = '', port] = split(text);
  const host = parseHost(address);
  if (host?.kind !== 'address' || port === null) {
    throw new InvalidArgumentError(
      'It must be an address, or one with a port, as in 10.89.1.5, 10.89.1.5:27017 or [2001:db8::1]:80.',
    );
  }
  return { address: host.host, port: port ?? null };
}

function parseAllowed(text: string): Allowed {
  const [name = '', port] = split(text);
  const host = parseHost(name);
  if (host === null || port === null) {
    throw new InvalidArgumentError(
      'It must be a host, or one with a port, as in huggingface.co or huggingface.co:443.',
    );
  }
  return { host: host.host, port: port ?? 443 };
}

/** The host, brackets included, and the port: undefined without one, null if it is none. */
function split(text: string): [host: string, port: number | null | undefined] {
  const [, host = '', port] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/.exec(text) ?? [];
  return [host, port === undefined ? undefined : parsePort(port)];
}

function collect<Value>(parse: (text: string) => Value) {
  return (text: string, previous: Value[] = []): Value[] => [...previous, parse(text)];
}
