import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

// Below the ports that systems hand out by themselves, so that nobody gets it before it is used.
const LOWEST = 20_000;
const HIGHEST = 32_000;

/** A loopback port on which nothing listens. */
export async function freePort(): Promise<number> {
  const port = randomInt(LOWEST, HIGHEST);
  const server = createServer();
  const isFree = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
  return isFree ? port : freePort();
}
