import type { Command } from 'commander';
import { type Config, readConfig } from '../config/config.ts';
import type { Fault } from '../config/env-file.ts';
import { ConfigError } from '../config/faults.ts';
import type { Environment } from '../config/sources.ts';
import { readStartConfig } from '../config/start.ts';
import { logLists } from '../log/lists.ts';
import { createLogger, type Logger, standardOutput } from '../log/logger.ts';
import { rowDestination } from '../log/rows.ts';
import { SystemResolver } from '../net/system-resolver.ts';
import { type Addresses, formatAddresses, Sidecar } from '../sidecar.ts';
import { readVersion } from '../version.ts';
import { banner } from './banner.ts';
import { DemoHost } from './demo-host.ts';
import { exitOn } from './exit.ts';
import { answerUsage } from './usage.ts';

/** How long the log may take for the ends of connections after a second signal. */
const LAST_ENDS_MS = 2_000;

/** Adds `whisper-proxy serve`, which is the proxy, to a program. */
export function add(program: Command): void {
  answerUsage(program.command('serve'))
    .description('run the proxy, configured by the environment and CONFIG_FILE (the default)')
    .option('--local', 'try it on loopback: a stand-in for whisper, unless UPSTREAM is set')
    .action(serve);
}

/**
 * `whisper-proxy serve`: runs until SIGTERM or SIGINT. Exit status 0 after either, 78 if the
 * configuration has faults that a reload could not mend, 1 if a listener cannot listen.
 * @param options.local a stand-in for whisper on loopback and a host to try egress with, unless
 * UPSTREAM is set.
 */
async function serve({ local = false }: { local?: boolean }): Promise<void> {
  const demoHost = local && !process.env.UPSTREAM ? new DemoHost() : null;
  const demoAddress = await demoHost?.start();
  try {
    const presets = demoAddress ? localPresets(demoAddress) : {};
    let running: Sidecar | undefined;
    // Before the file is read, so that no signal after that is lost. On a terminal that is closed, it ends.
    if (!local) process.on('SIGHUP', () => running?.reload());
    const { config, invalid } = readStartConfig(process.env, presets);
    const logger = createServeLogger(config, local || process.stdout.isTTY);
    const readAgain = readerOf(presets, config.file);
    const { resolve } = new SystemResolver();
    const sidecar = new Sidecar(config, logger, resolve, { invalid, readAgain });
    running = sidecar;
    stopOnSignal(
      async () => {
        await sidecar.stop();
        await demoHost?.stop();
      },
      () => sidecar.endConnections(),
    );
    const addresses = await sidecar.start();
    if (demoAddress) process.stdout.write(banner(addresses, demoAddress));
    else announce(logger, config, addresses, sidecar.hash);
  } catch (error) {
    exitOn(error);
  }
}

function localPresets(demoAddress: string): Record<string, string> {
  return {
    UPSTREAM: 'embedded',
    INGRESS_LISTEN: '127.0.0.1:7860',
    EGRESS_ALLOW_DEMO: demoAddress,
  };
}

function createServeLogger({ log }: Config, asRows: boolean): Logger {
  if (!asRows) return createLogger(log.level);
  const colour = process.stdout.isTTY && !process.env.NO_COLOR;
  // Not process.stdout, which tells of a failure only after the answer has left.
  const output = standardOutput();
  return createLogger(
    log.level,
    rowDestination((row) => output.write(row), colour),
  );
}

function announce(logger: Logger, config: Config, addresses: Addresses, hash: string): void {
  const { policy } = config.egress;
  const fields = {
    version: readVersion(),
    ...formatAddresses(addresses),
    config_file: config.file,
    mode: policy.mode,
  };
  const lists = {
    allow: policy.allow.map(({ label }) => label),
    deny: policy.deny.map(({ label }) => label),
  };
  logLists(logger, 'info', { tie: { config: hash }, fields, lists }, 'listening');
}

function vanished(file: string): Fault {
  return {
    name: 'CONFIG_FILE',
    line: null,
    value: file,
    message: 'it was there, and is not any more; put it back, or restart to run without it',
  };
}

/** Reads the configuration again. @param file the one that was read at the start, or null. */
function readerOf(presets: Environment, file: string | null): () => Config {
  let last = file;
  return () => {
    const config = readConfig(process.env, presets);
    // The image starts without one, but one that vanishes is no order to deny everything.
    if (last !== null && config.file === null) throw new ConfigError([vanished(last)], null);
    last = config.file;
    return config;
  };
}

/**
 * The first signal stops the program in good order. The second ends open connections at once, and the
 * program with 1, once their ends are in the log; the third does not wait for that either.
 * @param end ends open connections.
 */
function stopOnSignal(stop: () => Promise<void>, end: () => void): void {
  let signals = 0;
  const onSignal = async () => {
    signals += 1;
    if (signals === 1) {
      await stop();
      process.exit(signals === 1 ? 0 : 1);
    }
    if (signals > 2) process.exit(1);
    setTimeout(() => process.exit(1), LAST_ENDS_MS);
    end();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}
