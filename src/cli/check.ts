import { type Command, Option } from 'commander';
import { type Config, readConfig } from '../config/config.ts';
import { ConfigError } from '../config/faults.ts';
import { createLogger } from '../log/logger.ts';
import { ClientList } from '../net/client-list.ts';
import { isOwnAddress } from '../net/own-addresses.ts';
import type { Resolve } from '../net/resolve.ts';
import { SystemResolver } from '../net/system-resolver.ts';
import { addressForms, classifyAddress } from '../policy/addresses.ts';
import {
  decide,
  decideTarget,
  type IsForbidden,
  type Policy,
  type Verdict,
} from '../policy/decide.ts';
import { formatHostPort } from '../policy/host.ts';
import { allowLine, explainDenial, isNearby, limitLine, textOf } from '../policy/remedy.ts';
import type { Target } from '../policy/target.ts';
import { takenGroups } from '../report/remedies.ts';
import { AskedHostError, readAskedHost } from './check-target.ts';
import { EX_CONFIG } from './exit.ts';
import { answerUsage } from './usage.ts';

/** What a file alone, away from the container, does not say. */
const PRESETS = { UPSTREAM: 'http://whisper-gate:7860' };

const HELP = `
It reads the configuration as the proxy would at its next start or reload, and looks names up as the proxy does.
What "whisper-proxy allow" has allowed for a time is not in it.

Exit status: 0 all would be let through, 1 something would be denied, 2 usage, 78 the configuration has faults.`;

interface CheckOptions {
  file?: string;
  envFile?: string;
  config?: string | true;
}

/** Adds `whisper-proxy check`, which tells what would be decided and validates configurations, to a program. */
export function add(program: Command): void {
  answerUsage(program.command('check'))
    .description(
      'what would be decided about a host, by which rule; or whether a configuration is valid',
    )
    .argument('[host[:port]...]', 'what to ask about (port 443)')
    .option('--file <file>', 'another configuration file than the one of the proxy')
    // Node reads this option too, wherever it stands, if no -- stands before the program's name.
    .addOption(new Option('--env-file <file>', 'the same as --file').hideHelp())
    .option('--config [file]', 'only see whether the configuration has faults')
    .addHelpText('after', HELP)
    .action((hosts: string[], options: CheckOptions, command: Command) =>
      check(
        hosts.map((text) => readHost(text, command)),
        options,
        command,
      ),
    );
}

async function check(targets: Target[], options: CheckOptions, command: Command): Promise<void> {
  const isValidation = options.config !== undefined;
  if (isValidation === targets.length > 0) {
    command.error('error: name hosts, or give --config, and not both');
  }
  const file =
    typeof options.config === 'string' ? options.config : (options.file ?? options.envFile);
  const config = readOrExit(file);
  if (isValidation) {
    process.stdout.write(`${config.file ?? 'the environment'} has no faults: ${summary(config)}\n`);
    return;
  }
  const { resolve } = new SystemResolver();
  const isForbidden = await forbiddenBy(config, resolve);
  for (const target of targets) {
    const { verdict, lines } = await judge(config.egress.policy, target, isForbidden, resolve);
    process.stdout.write(`${lines.join('\n')}\n`);
    if (verdict.decision === 'deny') process.exitCode = 1;
  }
}

/** What would become of a target, and the lines that tell it. */
async function judge(
  policy: Policy,
  target: Target,
  isForbidden: IsForbidden,
  resolve: Resolve,
): Promise<{ verdict: Verdict; lines: string[] }> {
  const where = formatHostPort(target.host, target.port);
  let verdict = decideTarget(policy, target, isForbidden);
  let addresses: string[] = [];
  let trouble: string | null = null;
  try {
    addresses = target.kind === 'address' ? [target.host] : await resolve(target.host);
    verdict = decide(policy, target, addresses, isForbidden);
  } catch (error) {
    trouble = `it cannot be looked up here (${(error as NodeJS.ErrnoException).code})`;
    if (verdict.decision !== 'deny')
      verdict = { ...verdict, decision: 'deny', reason: 'dns_error' };
  }
  const why = [verdict.reason, verdict.rule && `by the rule ${verdict.rule}`].filter(Boolean);
  return {
    verdict,
    lines: [
      `${where}  ${verdict.decision}  ${why.join(', ')}`,
      ...addresses.map(
        (address) => `    ${address}  ${classOf(address, target.port, isForbidden)}`,
      ),
      ...(trouble ? [`    ${trouble}`] : []),
      ...explain(verdict, target, addresses, policy),
    ],
  };
}

/** What would change a denial, with the line to add where it has one. */
function explain(
  verdict: Verdict,
  target: Target,
  addresses: readonly string[],
  policy: Policy,
): string[] {
  const { decision, reason, final } = verdict;
  if (decision === 'allow' || reason === 'dns_error') return [];
  const isClosed =
    reason === 'not_allowed' && addresses.some((each) => classifyAddress(each).never);
  const nonPublic = addresses.filter((address) => !classifyAddress(address).public);
  const isPrivate = reason === 'non_public_address' && target.kind === 'name' && !final;
  if ((reason !== 'not_allowed' && !isPrivate) || nonPublic.some(isNearby) || isClosed) {
    return [`    ${explainDenial(verdict, target)}`];
  }
  const extra = target.kind === 'name' ? nonPublic : [];
  const file = {
    taken: takenGroups(policy.allow),
    rules: policy.allow.map(({ label }) => textOf(label)),
  };
  const warning = nonPublic.length > 0 ? ' (only if it is yours, and whisper needs it)' : '';
  const line = allowLine(target, file, extra);
  const label = `    to allow it${warning}: `;
  const limit = limitLine(target, line);
  return [`${label}${line}`, ...(limit === null ? [] : [`${' '.repeat(label.length)}${limit}`])];
}

function classOf(address: string, port: number, isForbidden: IsForbidden): string {
  if (addressForms(address).some((form) => isForbidden(form, port)))
    return "the proxy's own, or one of its clients";
  const { name, never } = classifyAddress(address);
  return never ? `${name}, never reached` : name;
}

/** As the running proxy has it, as far as the configuration alone tells. */
async function forbiddenBy(
  { ingress, egress, admin }: Config,
  resolve: Resolve,
): Promise<IsForbidden> {
  const clients = new ClientList('EGRESS_CLIENTS', egress.clients, resolve, createLogger('silent'));
  await clients.refresh();

  const listens = [
    ...[ingress.listen, egress.listen, egress.tlsListen, egress.httpListen],
    ...[egress.dnsListen, admin.listen],
  ];
  const ports = new Set(listens.flatMap((listen) => (listen?.kind === 'tcp' ? [listen.port] : [])));
  return (address, port) =>
    clients.mayInclude(address) || (ports.has(port) && isOwnAddress(address));
}

function summary({ egress: { policy } }: Config): string {
  const { allow, deny, mode } = policy;
  return `${allow.length} allow and ${deny.length} deny rules, mode ${mode}`;
}

function readOrExit(file: string | undefined): Config {
  const env = file === undefined ? process.env : { ...process.env, CONFIG_FILE: file };
  try {
    return readConfig(env, PRESETS);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const lines = error.messages.map((message) => `  ${message}`);
    process.stderr.write(`whisper-proxy: the configuration has faults:\n${lines.join('\n')}\n`);
    process.exit(EX_CONFIG);
  }
}

function readHost(text: string, command: Command): Target {
  try {
    return readAskedHost(text);
  } catch (error) {
    if (!(error instanceof AskedHostError)) throw error;
    return command.error(`error: ${text}: ${error.message}`);
  }
}
