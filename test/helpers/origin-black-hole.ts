import { connect } from 'node:net';
import { Worker } from 'node:worker_threads';
import { cleanUp } from './proxy-cleanup.ts';

/**
 * A port of 127.0.0.1 that does not even answer, on Linux: its backlog is full, and nobody accepts.
 * @param port 0: any.
 */
export async function startBlackHole(port = 0): Promise<number> {
  const code = `
    const { parentPort } = require('node:worker_threads');
    const server = require('node:net').createServer();
    server.listen({ port: ${port}, host: '127.0.0.1', backlog: 1 }, () => {
      parentPort.postMessage(server.address().port);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  const worker = new Worker(code, { eval: true });
  cleanUp(() => worker.terminate());
  const bound = await new Promise<number>((resolve) => worker.once('message', resolve));
  // The kernel still completes as many handshakes as the backlog has room for.
  for (let count = 0; count < 8; count += 1) {
    const socket = connect(bound, '127.0.0.1').on('error', () => undefined);
    cleanUp(() => socket.destroy());
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
  return bound;
}
