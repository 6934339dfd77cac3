import { request } from 'node:http';
import type { TcpAddress } from '../config/values.ts';

/**
 * Sends one request through the forward proxy.
 * @param target an http:// URI, or host:port with CONNECT.
 * @returns the status that the proxy answers.
 */
export function ask(
  egress: TcpAddress,
  method: 'GET' | 'CONNECT',
  target: string,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = request({
      host: egress.host,
      port: egress.port,
      method,
      path: target,
      agent: false,
    });
    outgoing.once('error', reject);
    outgoing.once('connect', (response, socket) => {
      socket.destroy();
      resolve(response.statusCode ?? 0);
    });
    outgoing.once('response', (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode ?? 0));
    });
    outgoing.end();
  });
}
