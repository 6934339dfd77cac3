import { ask as askIngress } from './ingress.ts';
import { startTarget } from './origin.ts';
import { startProxyTo } from './proxy.ts';
import { ask, connectTo, openTunnel } from './raw-client.ts';
import { type Scrape, scrape } from './scrape.ts';
import { startUpstream } from './upstream.ts';

/** A scrape of a proxy that has had traffic. */
export async function scrapeAfterTraffic(): Promise<Scrape> {
  const { address } = await startUpstream((_request, response) => response.end());
  const target = await startTarget((socket) => socket.end('x'));
  const names = { '127.0.0.1': ['127.0.0.1'] };
  const proxy = await startProxyTo(
    target.port,
    { UPSTREAM: address, EGRESS_MODE: 'report' },
    names,
  );
  await openTunnel(proxy.port, `origin.test:${target.port}`);
  await ask(proxy.port, connectTo('nonsense'));
  await askIngress(`http://127.0.0.1:${proxy.ports.ingress}/`);
  return scrape(proxy.ports.admin);
}
