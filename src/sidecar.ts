import { randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { createAdmin, type Health } from './admin/server.ts';
import type { Config } from './config/config.ts';
import { formatListenAddress, type ListenAddress, type TcpAddress } from './config/values.ts';
import { Admissions } from './egress/admission.ts';
import { createEgressServer } from './egress/server.ts';
import { createEmbeddedUpstream } from './embedded/server.ts';
import { createIngress } from './ingress/server.ts';
import { type UpstreamAddress, UpstreamConnector } from './ingress/upstream.ts';
import { DecisionLog } from './log/decision-log.ts';
import type { Logger } from './log/logger.ts';
import { ClientList } from './net/client-list.ts';
import { Listener } from './net/listener.ts';
import { isOwnAddress } from './net/own-addresses.ts';
import { limitResolve, lookupLimit, type Resolve } from './net/resolve.ts';
import type { IsForbidden } from './policy/decide.ts';

export interface Addresses {
  ingress: ListenAddress;
  egress: TcpAddress;
  admin: TcpAddress;
}

const LOOPBACK: TcpAddress = { kind: 'tcp', host: '127.0.0.1', port: 0 };
const REPORT_WARNING = 'EGRESS_MODE=report: what no allow rule covers is let through';
const GATE_WARNING =
  'no gate stands in front of whisper: it can go around the proxy; whisper.container has to join whisper-gate (Network=container:whisper-gate)';
const REPORT_EVERY_MS = 600_000;

/** The whole proxy: its listeners, what they share, their beginning and their end. */
export class Sidecar {
  readonly #config: Config;
  readonly #logger: Logger;
  readonly #resolve: Resolve;
  readonly #log: DecisionLog;
  /** This proxy's name in Via: one of its own, so that a chain of two is no loop. */
  readonly #pseudonym = `whisper-proxy-${randomBytes(4).toString('hex')}`;
  readonly #listeners: Listener[] = [];
  readonly #apps: FastifyInstance[] = [];
  readonly #ownPorts = new Set<number>();
  #reminder: NodeJS.Timeout | undefined;

  constructor(config: Config, logger: Logger, resolve: Resolve) {
    this.#config = config;
    this.#logger = logger;
    this.#resolve = resolve;
    this.#log = new DecisionLog(logger, config.log.allowed);
  }

  /**
   * Starts every listener, or none.
   * @throws ListenError
   */
  async start(): Promise<Addresses> {
    try {
      const addresses = await this.#listen();
      this.#warnOfReportMode();
      return addresses;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Stops accepting, gives what runs SHUTDOWN_TIMEOUT to finish, then ends it. */
  async stop(): Promise<void> {
    clearInterval(this.#reminder);
    await Promise.all(
      this.#listeners.map((listener) => listener.stop(this.#config.shutdownTimeout)),
    );
    await Promise.all(this.#apps.map((app) => app.close()));
    await this.#log.close();
  }

  async #listen(): Promise<Addresses> {
    const config = this.#config;
    const upstream = new UpstreamConnector(
      await this.#upstreamAddress(),
      this.#resolve,
      config.ingress.connectTimeout,
    );
    const listeners: Record<string, string> = {};
    const health = async (): Promise<Health> => {
      const [state, ungated] = await Promise.all([upstream.probe(), upstream.isUngated()]);
      const warnings = [];
      if (config.egress.policy.mode === 'report') warnings.push(REPORT_WARNING);
      if (ungated && config.upstream.kind !== 'embedded') warnings.push(GATE_WARNING);
      return {
        status: 'ok',
        listeners,
        upstream: { address: String(upstream), ...state },
        mode: config.egress.policy.mode,
        warnings,
      };
    };
    const ingress = await this.#open(
      await this.#ingress(upstream),
      config.ingress.listen,
      'INGRESS_LISTEN',
    );
    const egress = await this.#open(this.#egress(), config.egress.listen, 'EGRESS_LISTEN');
    const admin = await this.#open(
      await this.#app(createAdmin({ token: config.admin.token, health })),
      config.admin.listen,
      'ADMIN_LISTEN',
    );
    Object.assign(listeners, {
      ingress: formatListenAddress(ingress),
      egress: formatListenAddress(egress),
      admin: formatListenAddress(admin),
    });
    return { ingress, egress, admin };
  }

  async #upstreamAddress(): Promise<UpstreamAddress> {
    if (this.#config.upstream.kind !== 'embedded') return this.#config.upstream;
    const server = await this.#app(createEmbeddedUpstream());
    const { host, port } = await this.#open(server, LOOPBACK, 'UPSTREAM');
    return { kind: 'http', host, port };
  }

  #ingress(upstream: UpstreamConnector): Promise<Server> {
    return this.#app(
      createIngress({
        upstream,
        clients: new ClientList(this.#config.ingress.clients, this.#resolve, this.#logger),
        log: this.#log,
        logger: this.#logger,
        pseudonym: this.#pseudonym,
      }),
    );
  }

  #egress(): Server {
    const { egress } = this.#config;
    const admissions = new Admissions({
      ...egress,
      clients: new ClientList(egress.clients, this.#resolve, this.#logger),
      isForbidden: this.#isForbidden,
      resolve: limitResolve(this.#resolve, lookupLimit(process.env.UV_THREADPOOL_SIZE)),
      log: this.#log,
    });
    const shared = { log: this.#log, logger: this.#logger, pseudonym: this.#pseudonym };
    return createEgressServer(admissions, { ...egress, ...shared });
  }

  #isForbidden: IsForbidden = (address, port) => this.#ownPorts.has(port) && isOwnAddress(address);

  async #app(app: FastifyInstance): Promise<Server> {
    this.#apps.push(app);
    await app.ready();
    return app.server;
  }

  async #open<Address extends ListenAddress>(
    server: Server,
    address: Address,
    variable: string,
  ): Promise<Address> {
    const listener = new Listener(server);
    this.#listeners.push(listener);
    const bound = await listener.listen(address, variable);
    if (bound.kind === 'tcp') this.#ownPorts.add(bound.port);
    return bound;
  }

  #warnOfReportMode(): void {
    if (this.#config.egress.policy.mode !== 'report') return;
    const warn = () => this.#logger.warn(REPORT_WARNING);
    warn();
    this.#reminder = setInterval(warn, REPORT_EVERY_MS).unref();
  }
}
