import type { Server } from 'node:net';
import type { Config } from '../config/config.ts';
import type { TcpAddress } from '../config/values.ts';
import type { Logger } from '../log/logger.ts';
import type { Admissions } from './admission.ts';
import type { EgressCrowd } from './crowd.ts';
import { createEgressServer } from './server.ts';
import { createTlsServer } from './transparent-tls.ts';

/** A way in to egress, not listening yet. */
export interface EgressListener {
  name: 'egress' | 'egress_tls' | 'egress_http';
  /** The variable that says where it listens. */
  variable: string;
  address: TcpAddress;
  server: Server;
}

/** What the listeners share beside the admissions. */
export interface EgressParts extends EgressCrowd {
  logger: Logger;
  /** This proxy's name in Via. */
  pseudonym: string;
}

/** The listeners that the configuration asks for. */
export function createEgressListeners(
  admissions: Admissions,
  egress: Config['egress'],
  parts: EgressParts,
): EgressListener[] {
  const options = { ...egress, ...parts, helloTimeout: egress.connectTimeout };
  const listeners: EgressListener[] = [
    {
      name: 'egress',
      variable: 'EGRESS_LISTEN',
      address: egress.listen,
      server: createEgressServer(admissions, { ...options, transparent: false }),
    },
  ];
  if (egress.tlsListen) {
    listeners.push({
      name: 'egress_tls',
      variable: 'EGRESS_TLS_LISTEN',
      address: egress.tlsListen,
      server: createTlsServer(admissions, options),
    });
  }
  if (egress.httpListen) {
    listeners.push({
      name: 'egress_http',
      variable: 'EGRESS_HTTP_LISTEN',
      address: egress.httpListen,
      server: createEgressServer(admissions, { ...options, transparent: true }),
    });
  }
  return listeners;
}
