import type { Command } from 'commander';
import { readConfig } from '../config/config.ts';
import { formatListenAddress } from '../config/values.ts';
import { toneWav } from '../embedded/demo-wav.ts';
import { createLogger } from '../log/logger.ts';
import { SystemResolver } from '../net/system-resolver.ts';
import { type Addresses, Sidecar } from '../sidecar.ts';
import { ask } from './demo-egress.ts';
import { DemoHost } from './demo-host.ts';
import { transcribe } from './demo-ingress.ts';
import { answerUsage } from './usage.ts';

interface Step {
  what: string;
  method: 'GET' | 'CONNECT';
  target: string;
  status: number;
  reason: string | null;
}

interface Line {
  event?: string;
  decision?: string;
  reason?: string | null;
}

/** Adds `whisper-proxy demo` to a program. */
export function add(program: Command): void {
  answerUsage(program.command('demo'))
    .description('show on loopback what the proxy lets through and what it denies, once')
    .action(demo);
}

/**
 * `whisper-proxy demo`: a recording goes in, requests go out, allowed and denied, all on loopback.
 * Exit status 0 if everything came out as it should, 1 if not.
 */
async function demo(): Promise<void> {
  const demoHost = new DemoHost();
  const demoAddress = await demoHost.start();
  const lines: Line[] = [];
  const config = readConfig({
    UPSTREAM: 'embedded',
    INGRESS_LISTEN: '127.0.0.1:0',
    EGRESS_LISTEN: '127.0.0.1:0',
    ADMIN_LISTEN: '127.0.0.1:0',
    EGRESS_ALLOW_DEMO: demoAddress,
    EGRESS_DENY_DEMO: 'telemetry.example',
    SHUTDOWN_TIMEOUT: '1s',
  });
  const logger = createLogger('info', { write: (json) => lines.push(JSON.parse(json) as Line) });
  const sidecar = new Sidecar(config, logger, new SystemResolver().resolve);
  const addresses = await sidecar.start();
  try {
    const wentIn = await runIngress(addresses);
    const wentOut = await runEgress(addresses, steps(addresses, demoAddress), lines);
    print(
      wentIn && wentOut
        ? '\nAll of it came out as it should. This shows the proxy, isolation needs the gate.'
        : '\nNot all of it came out as it should.',
    );
    process.exitCode = wentIn && wentOut ? 0 : 1;
  } finally {
    await sidecar.stop();
    await demoHost.stop();
  }
}

function steps({ ingress }: Addresses, demoAddress: string): Step[] {
  const own = formatListenAddress(ingress);
  return [
    {
      what: 'an allowed host, plain HTTP',
      method: 'GET',
      target: `http://${demoAddress}/`,
      status: 200,
      reason: null,
    },
    {
      what: 'an allowed host, in a tunnel',
      method: 'CONNECT',
      target: demoAddress,
      status: 200,
      reason: null,
    },
    {
      what: 'a host that no rule names',
      method: 'GET',
      target: 'http://example.com/',
      status: 403,
      reason: 'not_allowed',
    },
    {
      what: 'the same, in a tunnel',
      method: 'CONNECT',
      target: 'example.com:443',
      status: 403,
      reason: 'not_allowed',
    },
    {
      what: 'a host that a deny rule names',
      method: 'CONNECT',
      target: 'telemetry.example:443',
      status: 403,
      reason: 'deny_rule',
    },
    {
      what: "the cloud's metadata",
      method: 'GET',
      target: 'http://169.254.169.254/',
      status: 403,
      reason: 'non_public_address',
    },
    {
      what: 'the proxy itself',
      method: 'CONNECT',
      target: own,
      status: 403,
      reason: 'non_public_address',
    },
    {
      what: 'loopback in disguise',
      method: 'CONNECT',
      target: '2130706433:80',
      status: 400,
      reason: 'bad_target',
    },
  ];
}

async function runIngress({ ingress }: Addresses): Promise<boolean> {
  print('In, through ingress: a generated recording of one second, to a stand-in for whisper\n');
  try {
    const transcript = await transcribe(
      `http://${formatListenAddress(ingress)}`,
      toneWav(1, 16_000, 440),
    );
    print(`  ${transcript.trim()}\n`);
    return true;
  } catch (error) {
    print(`  failed: ${error instanceof Error ? error.message : String(error)}\n`);
    return false;
  }
}

async function runEgress({ egress }: Addresses, wanted: Step[], lines: Line[]): Promise<boolean> {
  print('Out, through egress: what whisper might try\n');
  print(row(['', 'REQUEST', 'ANSWER', 'DECISION', 'REASON']));
  let all = true;
  for (const { what, method, target, status, reason } of wanted) {
    const before = lines.length;
    const answer = await ask(egress, method, target);
    const line = lines.slice(before).find(({ event }) => event === 'egress');
    const right = answer === status && line !== undefined && line.reason === reason;
    all &&= right;
    const cells = [
      what,
      `${method} ${target}`,
      String(answer),
      line?.decision ?? '-',
      line?.reason ?? '',
    ];
    print(`${row(cells)}${right ? '' : `  EXPECTED ${status} ${reason ?? 'allow'}`}`);
  }
  return all;
}

function row([what = '', request = '', answer = '', decision = '', reason = '']: string[]): string {
  return `  ${what.padEnd(30)} ${request.padEnd(32)} ${answer.padEnd(7)} ${decision.padEnd(9)} ${reason}`.trimEnd();
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
