import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A host on loopback that stands for one on the internet, since there may be none of that. */
export class DemoHost {
  readonly #server: Server = createServer((_request, response) => {
    response.setHeader('Content-Type', 'text/plain; charset=utf-8');
    response.end('Hello from the demo host, which a rule allows.\n');
  });

  /** @returns its address, as a rule and a URL have it. */
  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const { address, port } = this.#server.address() as AddressInfo;
    return `${address}:${port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
