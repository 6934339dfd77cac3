import { randomBytes } from 'node:crypto';
import { isIP, type Server } from 'node:net';
import { hostname } from 'node:os';
import type { FastifyInstance } from 'fastify';
import { DecisionEvents } from './admin/events.ts';
import { readHealth } from './admin/health.ts';
import type { AdminReaders } from './admin/readers.ts';
import { createAdmin } from './admin/server.ts';
import { StatusFeed } from './admin/status.ts';
import type { Config } from './config/config.ts';
import { ConfigError } from './config/faults.ts';
import { formatListenAddress, type ListenAddress, type TcpAddress } from './config/values.ts';
import { NameServer } from './dns/server.ts';
import { Admissions } from './egress/admission.ts';
import { crowdLimits, unheard } from './egress/crowd.ts';
import { createEgressListeners } from './egress/listeners.ts';
import { createEmbeddedUpstream } from './embedded/server.ts';
import { observeTogether } from './ingress/observer.ts';
import { createIngress } from './ingress/server.ts';
import { type UpstreamAddress, UpstreamConnector } from './ingress/upstream.ts';
import { createControl } from './live/control.ts';
import { type NotReloaded, Reload, type Reloaded } from './live/reload.ts';
import { ReportReminder } from './live/report-reminder.ts';
import { RulesInForce } from './live/rules-in-force.ts';
import { TimedAllows } from './live/timed-allows.ts';
import { DecisionLog } from './log/decision-log.ts';
import { IngressLog } from './log/ingress-log.ts';
import type { Logger } from './log/logger.ts';
import { Metrics } from './metrics/metrics.ts';
import { ClientList } from './net/client-list.ts';
import { combineListenErrors, ListenError, Listener } from './net/listener.ts';
import { isOwnAddress } from './net/own-addresses.ts';
import type { Resolve } from './net/resolve.ts';
import { SharedLookups } from './net/shared-lookups.ts';
import type { IsForbidden } from './policy/decide.ts';
import { RecentDecisions } from './report/recent.ts';
import { RecentRequests } from './report/recent-requests.ts';

export interface Addresses {
  ingress: ListenAddress;
  egress: TcpAddress;
  /** Those that are off are missing. */
  egress_tls?: TcpAddress;
  egress_http?: TcpAddress;
  dns?: TcpAddress;
  admin: TcpAddress;
}

export interface SidecarOptions {
  /** The faults of its configuration that it is started in spite of. */
  invalid?: ConfigError | null;
  /** Reads the configuration again, for a reload. It throws ConfigError. */
  readAgain?: () => Config;
}

/** How long the status page believes what was found out about the gate. */
const GATE_MS = 30_000;
/** A stop that takes longer says what it waits for. */
const TELL_WAITING_MS = 300;
const LOOPBACK: TcpAddress = { kind: 'tcp', host: '127.0.0.1', port: 0 };

/** The whole proxy: its listeners, what they share, their beginning and their end. */
export class Sidecar {
  readonly #config: Config;
  readonly #invalid: ConfigError | null;
  readonly #readAgain: () => Config;
  readonly #logger: Logger;
  readonly #resolve: Resolve;
  /** What the configuration names: whisper, and the clients. */
  readonly #lookups: SharedLookups;
  readonly #ingressClients: ClientList;
  readonly #trustedClients: ClientList;
  readonly #egressClients: ClientList;
  readonly #rules: RulesInForce;
  readonly #metrics: Metrics;
  readonly #recent: RecentDecisions;
  readonly #requests = new RecentRequests();
  readonly #events = new DecisionEvents();
  readonly #reminder: ReportReminder;
  readonly #log: DecisionLog;
  readonly #ingressLog: IngressLog;
  /** This proxy's name in Via: one of its own, so that a chain of two is no loop. */
  readonly #pseudonym = `whisper-proxy-${randomBytes(4).toString('hex')}`;
  readonly #listeners: Listener[] = [];
  readonly #apps: FastifyInstance[] = [];
  readonly #ownPorts = new Set<number>();
  readonly #listenErrors: ListenError[] = [];
  #nameServer: NameServer | undefined;
  #reload: Reload | undefined;
  #timed: TimedAllows | undefined;
  readonly #listening = withResolvers();
  #isStopping = false;

  constructor(
    config: Config,
    logger: Logger,
    resolve: Resolve,
    { invalid = null, readAgain = () => config }: SidecarOptions = {},
  ) {
    this.#config = config;
    this.#invalid = invalid;
    this.#readAgain = readAgain;
    this.#logger = logger;
    this.#resolve = resolve;
    this.#lookups = new SharedLookups(resolve);
    const listOf = (variable: string, clients: Config['ingress']['clients']) =>
      new ClientList(variable, clients, this.#lookups.resolve, logger);
    this.#ingressClients = listOf('INGRESS_CLIENTS', config.ingress.clients);
    this.#trustedClients = listOf('INGRESS_TRUST_FORWARDED', config.ingress.trustForwarded);
    this.#egressClients = listOf('EGRESS_CLIENTS', config.egress.clients);
    this.#rules = new RulesInForce(config.egress.policy);
    this.#reminder = new ReportReminder(this.#rules, logger);
    this.#metrics = new Metrics(config.egress, this.#rules);
    if (invalid) this.#metrics.reloaded(false);
    this.#recent = new RecentDecisions(this.#rules, () => this.#requests.failures());
    const observers = [this.#metrics, this.#recent, this.#events];
    this.#log = new DecisionLog(logger, config.log.allowed, observers);
    this.#ingressLog = new IngressLog(logger, config.log.requests);
  }

  /**
   * Starts every listener, or none.
   * @throws ListenError
   */
  async start(): Promise<Addresses> {
    try {
      const addresses = await this.#listen();
      this.#reload?.tellInvalid();
      this.#reminder.remind();
      // Not before the caller has logged what it listens with.
      setImmediate(this.#listening.resolve);
      return addresses;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Which configuration is in force, as decisions in the log have it. */
  get hash(): string {
    return this.#rules.hash;
  }

  /**
   * Reads the configuration again, and puts it into force or keeps the one that is. Before it listens,
   * that waits until it does.
   * @returns what was done; null: nothing, since it stops.
   */
  async reload(): Promise<Reloaded | NotReloaded | null> {
    await this.#listening.promise;
    if (this.#isStopping) {
      this.#logger.warn('it is stopping, so the configuration is not read again');
      return null;
    }
    try {
      return this.apply(this.#readAgain());
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return this.#reject(error);
    }
  }

  /**
   * Puts another configuration into force, as far as that can be done while it runs.
   * @throws ConfigError if only a start can.
   */
  apply(config: Config): Reloaded {
    if (!this.#reload) throw new Error('it does not listen');
    const reloaded = this.#reload.apply(config);
    this.#metrics.reloaded(true);
    this.#reminder.remind();
    return reloaded;
  }

  #reject(error: ConfigError): NotReloaded | null {
    this.#metrics.reloaded(false);
    return this.#reload?.reject(error) ?? null;
  }

  /** Stops accepting, gives what runs SHUTDOWN_TIMEOUT to finish, then ends it. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#reminder.stop();
    this.#timed?.close();
    this.#metrics.stop();
    this.#events.close();
    const { shutdownTimeout } = this.#config;
    const notice = setTimeout(() => this.#tellWaiting(), TELL_WAITING_MS);
    await Promise.all([
      this.#nameServer?.stop(),
      ...this.#listeners.map((listener) => listener.stop(shutdownTimeout)),
    ]);
    clearTimeout(notice);
    await Promise.all(this.#apps.map((app) => app.close()));
    this.#ingressLog.close();
    await this.#log.close();
  }

  /** Ends what `stop` still waits for; it then logs the ends. */
  endConnections(): void {
    for (const listener of this.#listeners) listener.end();
  }

  /** Says what a stop waits for. */
  #tellWaiting(): void {
    const connections = this.#listeners.reduce((sum, { open }) => sum + open, 0);
    if (connections === 0) return;
    const { shutdownTimeout } = this.#config;
    const what = connections === 1 ? 'one connection' : `${connections} connections`;
    this.#logger.info(
      { event: 'stopping', connections, timeout_ms: shutdownTimeout },
      `waiting up to ${shutdownTimeout / 1_000} s for ${what}; a second signal ends them at once`,
    );
  }

  async #listen(): Promise<Addresses> {
    const config = this.#config;
    // Nobody waits for it; until the names are known, what may be one of theirs is closed.
    for (const list of [this.#ingressClients, this.#egressClients]) void list.refresh();
    const upstream = new UpstreamConnector(
      await this.#upstreamAddress(),
      this.#lookups.resolve,
      config.ingress.connectTimeout,
    );
    this.#metrics.start(async () => (await upstream.probe()).state === 'up');
    const ingress = await this.#open(
      await this.#ingress(upstream),
      config.ingress.listen,
      'INGRESS_LISTEN',
    );
    const { reload, isForbidden, ...egress } = await this.#openEgress();
    const listeners: Record<string, string> = {};
    const isEmbedded = config.upstream.kind === 'embedded';
    const clientLists = [this.#ingressClients, this.#trustedClients, this.#egressClients];
    const isUngated = () => upstream.isUngated();
    const rules = this.#rules;
    const parts = { upstream, isUngated, isEmbedded, clientLists, rules, reload, listeners };
    // The gate counts what it drops, and the status is read every second.
    const oftenRead = { ...parts, isUngated: remember(isUngated, GATE_MS) };
    const readers: AdminReaders = {
      health: () => readHealth(parts),
      decisions: () => this.#recent.snapshot(),
      events: this.#events,
      status: new StatusFeed(async () => ({
        health: await readHealth(oftenRead),
        ingress: this.#requests.activity(),
      })),
    };
    await this.#openControl(reload, isForbidden, readers);
    const { token, listen } = config.admin;
    const app = createAdmin({ ...readers, token, metrics: this.#metrics });
    const admin = await this.#open(await this.#app(app), listen, 'ADMIN_LISTEN');
    if (this.#listenErrors.length > 0) throw combineListenErrors(this.#listenErrors);
    const addresses: Addresses = { ingress, ...egress, admin };
    Object.assign(listeners, formatAddresses(addresses));
    return addresses;
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
        clients: this.#ingressClients,
        trusted: this.#trustedClients,
        holdTimeout: this.#config.ingress.holdTimeout,
        log: this.#log,
        observer: observeTogether([
          this.#metrics.ingress,
          this.#requests,
          this.#ingressLog,
          this.#events,
        ]),
        logger: this.#logger,
        pseudonym: this.#pseudonym,
      }),
    );
  }

  /** Opens every way in to egress. */
  async #openEgress(): Promise<
    Omit<Addresses, 'ingress' | 'admin'> & { reload: Reload; isForbidden: IsForbidden }
  > {
    const { egress } = this.#config;
    const log = this.#log;
    const logger = this.#logger;
    const rules = this.#rules;
    const clients = this.#egressClients;
    const limits = crowdLimits(egress.maxConnections);
    const admissions = new Admissions({
      ...egress,
      rules,
      clients,
      isForbidden: this.#isForbidden,
      // Its own, so that names that whisper asks for hold up no others.
      resolve: new SharedLookups(this.#resolve).resolve,
      log,
    });
    const parts = { clients, limits, log, logger, pseudonym: this.#pseudonym };
    const addresses: Partial<Addresses> = {};
    for (const listener of createEgressListeners(admissions, egress, parts)) {
      const { name, server, address, variable } = listener;
      addresses[name] = await this.#open(server, address, variable);
    }
    if (egress.dnsListen) addresses.dns = await this.#openNameServer(admissions, egress.dnsListen);
    const reload = new Reload(this.#config, this.#invalid, {
      rules,
      admissions,
      limits,
      log,
      ingressLog: this.#ingressLog,
      logger,
    });
    this.#reload = reload;
    const { isForbidden } = admissions;
    return { egress: egress.listen, ...addresses, reload, isForbidden };
  }

  async #openControl(
    reload: Reload,
    isForbidden: IsForbidden,
    readers: AdminReaders,
  ): Promise<void> {
    const { controlSocket } = this.#config;
    if (controlSocket === null) return;
    this.#timed = new TimedAllows({
      rules: this.#rules,
      logger: this.#logger,
      resolve: this.#resolve,
      isForbidden,
      onEnd: () => reload.reconsider(),
    });
    const server = await this.#app(
      createControl({ timed: this.#timed, reload: () => this.reload(), readers }),
    );
    await this.#open(server, { kind: 'unix', path: controlSocket }, 'CONTROL_SOCKET');
  }

  async #openNameServer(admissions: Admissions, listen: TcpAddress): Promise<TcpAddress> {
    const { upstream } = this.#config;
    const server = new NameServer({
      address: listen.host,
      proxyNames: ['whisper-proxy', hostname()],
      // The gate's, which is whisper's too: they share a namespace.
      clientNames: upstream.kind === 'http' && isIP(upstream.host) === 0 ? [upstream.host] : [],
      admit: (lookup) => admissions.admitLookup(lookup),
      admitClient: (client) => admissions.admitClient('dns', client),
      onDrop: (client) => this.#log.decide(unheard('too_many_connections', 'dns', client)),
      logger: this.#logger,
    });
    this.#nameServer = server;
    const bound = await this.#orNote(server.listen(listen, 'DNS_LISTEN'), listen);
    this.#ownPorts.add(bound.port);
    return bound;
  }

  /** Goes on after a listener that cannot listen: the start fails in the end, with all of them told. */
  async #orNote<Address>(listening: Promise<Address>, address: Address): Promise<Address> {
    try {
      return await listening;
    } catch (error) {
      if (!(error instanceof ListenError)) throw error;
      this.#listenErrors.push(error);
      return address;
    }
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
    const bound = await this.#orNote(listener.listen(address, variable), address);
    if (bound.kind === 'tcp') this.#ownPorts.add(bound.port);
    return bound;
  }
}

/** As `Promise.withResolvers`, which Node 20 does not have. */
function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/** Where each listener is, as text. */
export function formatAddresses(addresses: Addresses): Record<string, string> {
  return Object.fromEntries(
    Object.entries(addresses).map(([name, address]) => [name, formatListenAddress(address)]),
  );
}

/** Finds something out no more often than every so many milliseconds. */
function remember<Value>(find: () => Promise<Value>, milliseconds: number): () => Promise<Value> {
  let found: { value: Promise<Value>; at: number } | undefined;
  return () => {
    const now = performance.now();
    if (found === undefined || now - found.at >= milliseconds) found = { value: find(), at: now };
    return found.value;
  };
}
