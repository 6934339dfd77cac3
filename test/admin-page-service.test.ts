import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import type { Status } from '../src/admin/status.ts';
import { hasNoBrowser, useBrowser } from './helpers/browser.ts';
import { freePort } from './helpers/free-port.ts';
import { ask } from './helpers/ingress.ts';
import { startProxy, type TestProxy } from './helpers/proxy.ts';
import { RawClient } from './helpers/raw-client.ts';
import { groupOf, pretend, request, untilLive, untilShown, urlOf } from './helpers/status-page.ts';
import { startUpstream } from './helpers/upstream.ts';

const NAMES = { '127.0.0.1': ['127.0.0.1'] };
/** Names that differ in their registrable domains. */
const HUNDREDS = Array.from(
  { length: 500 },
  (_, index) => `${(index * 7_919).toString(36)}x${index}.com`,
);

/** Makes whisper ask for hosts, one after the other, by plain HTTP. */
async function flood({ port }: TestProxy, hosts: readonly string[]): Promise<void> {
  const client = await RawClient.connect(port);
  for (const host of hosts) {
    await client.send(`GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`).answer();
  }
}

/** Has the page show what the proxy did not say of itself, whisper and its requests. */
async function pretendStatus(page: Page, change: (status: Status) => void): Promise<void> {
  await page.exposeFunction('pretend', (json: string) => {
    const status = JSON.parse(json) as Status;
    change(status);
    return JSON.stringify(status);
  });
  await page.addInitScript(() => {
    const { addEventListener } = EventSource.prototype;
    EventSource.prototype.addEventListener = function (name: string, listener: unknown) {
      const hear = async (event: MessageEvent<string>) => {
        const { pretend } = window as unknown as { pretend(json: string): Promise<string> };
        const data = name === 'status' ? await pretend(event.data) : event.data;
        (listener as (event: MessageEvent) => void)(new MessageEvent(name, { data }));
      };
      addEventListener.call(this, name, hear as unknown as EventListener);
    };
  });
  await page.reload();
  await untilLive(page);
}

/** Whether a target's row is within what the window shows, without scrolling. */
async function isInSight(page: Page, target: string): Promise<boolean> {
  const row = page.locator('#units > .unit > .name', { hasText: target });
  if ((await row.count()) !== 1) return false;
  const box = await row.boundingBox();
  const height = await page.evaluate(() => innerHeight);
  return box !== null && box.y >= 0 && box.y + box.height <= height;
}

describe.skipIf(hasNoBrowser)(
  'what the status page tells of the service (needs chromium)',
  { timeout: 300_000 },
  () => {
    const open = useBrowser();

    test('requests while they run and when they are over, and how long they take', async () => {
      const answers: (() => void)[] = [];
      const { address } = await startUpstream((incoming, response) => {
        incoming.resume().on('end', () => answers.push(() => response.end('text')));
      });
      const proxy = await startProxy({ UPSTREAM: address }, NAMES);
      const origin = `http://127.0.0.1:${proxy.ports.ingress}`;
      const { page, faults } = await open(urlOf(proxy));
      await untilLive(page);
      expect(await page.textContent('#whisper')).toBe('whisper is up');
      expect(await page.getAttribute('#service', 'data-state')).toBe('up');
      const asked = ask(`${origin}/a/secret?path`, { method: 'POST' }, Buffer.alloc(3_000_000));
      await page
        .locator('#requests tr.running', { hasText: /127\.0\.0\.1POST running.*3\.0 MB/ })
        .waitFor();
      expect(await page.textContent('#running')).toBe('1');
      answers[0]?.();
      await asked;
      await page.locator('#requests tbody tr', { hasText: /POST 200.*m?s3\.0 MB/ }).waitFor();
      expect(await page.textContent('#running')).toBe('0');
      await page.locator('#median', { hasText: /^[\d.]+ (ms|s)$/ }).waitFor();
      expect(await page.textContent('body')).not.toContain('secret');
      expect(faults).toEqual([]);
    });

    test('whisper that goes down and comes back, within seconds, and what its clients got', async () => {
      const port = await freePort();
      const whisper = await startUpstream((_request, response) => response.end(), port);
      const proxy = await startProxy({ UPSTREAM: whisper.address }, NAMES);
      const { page } = await open(urlOf(proxy));
      await untilLive(page);
      expect(await page.textContent('#whisper')).toBe('whisper is up');
      whisper.server.close();
      await page.locator('#service[data-state=down]').waitFor();
      expect(await page.textContent('#whisper')).toBe('whisper is down');
      expect(await page.locator('#failures').isVisible()).toBe(false);
      for (let times = 0; times < 3; times += 1) {
        await ask(`http://127.0.0.1:${proxy.ports.ingress}/`, { method: 'POST' });
      }
      await page
        .locator('#failures li', { hasText: /^502 connection_refused \(ECONNREFUSED\), 3×, last / })
        .waitFor();
      expect(await page.textContent('#failed')).toBe('3');
      expect(await page.locator('.outcome[data-kind=failed]').count()).toBe(3);
      await startUpstream((_request, response) => response.end(), port);
      await page.locator('#service[data-state=up]').waitFor();
    });

    test('faults of the configuration, a reload and timed rules within seconds', async () => {
      const proxy = await startProxy();
      const { page } = await open(urlOf(proxy));
      await untilLive(page);
      proxy.reload({ EGRESS_MODE: 'report', EGRESS_ALLOW: 'new.example' });
      await page.locator('#mode[data-mode=report]').waitFor();
      await page.locator('#warnings', { hasText: 'EGRESS_MODE=report' }).waitFor();
      await page.locator('#rules tbody', { hasText: 'new.example' }).waitFor();
      const faults = ['line 3: EGRESS_ALLOW="x y": <b>it is no rule</b>'];
      const timed = [{ rule: 'timed hf.co', until: new Date(Date.now() + 60_000).toISOString() }];
      await pretendStatus(page, ({ health }) => {
        Object.assign(health, { timed, version: '9.9.9', warnings: [] });
        Object.assign(health.config, { faults });
      });
      await page.locator('.warning', { hasText: `it is invalid: ${faults[0]}` }).waitFor();
      expect(await page.textContent('#timed')).toMatch(/^timed hf\.co until \d\d:\d\d$/);
      expect(await page.textContent('#version')).toBe('9.9.9');
    });

    test('a stream that falls silent makes nothing look live', async () => {
      const proxy = await startProxy();
      const { page } = await open(urlOf(proxy));
      await untilLive(page);
      // As with a machine that sleeps, or a tunnel that hangs: open, and silent.
      await page.addInitScript(() => {
        const { addEventListener } = EventSource.prototype;
        EventSource.prototype.addEventListener = function (name: string, listener: unknown) {
          const hear = (event: Event) => {
            if (document.body.dataset.silent !== 'true')
              (listener as unknown as EventListener)(event);
          };
          addEventListener.call(this, name, hear);
        };
      });
      await page.reload();
      await untilLive(page);
      await page.evaluate(() => {
        document.body.dataset.silent = 'true';
      });
      await page.locator('#connection[data-state=stale]').waitFor();
      expect(await page.textContent('#connection')).toMatch(
        /^No news from the proxy\. What is shown /,
      );
      expect(await page.textContent('#whisper')).toBe('whisper: unknown');
      expect(await page.getAttribute('body', 'data-fresh')).toBe('false');
      await page.evaluate(() => {
        document.body.dataset.silent = 'false';
      });
      await untilLive(page);
      expect(await page.textContent('#whisper')).toBe('whisper is down');
    });

    test('what cannot be loaded makes nothing look live', async () => {
      const proxy = await startProxy();
      const { page } = await open(urlOf(proxy));
      await untilLive(page);
      // The stream goes on, and what it tells of cannot be had.
      await page.route('**/decisions', () => undefined);
      await request(proxy, 'a.example:443');
      await page.locator('#connection[data-state=stale]').waitFor();
      await page.unrouteAll({ behavior: 'ignoreErrors' });
    });
  },
);

describe.skipIf(hasNoBrowser)(
  'the one real denial on the status page (needs chromium)',
  { timeout: 300_000 },
  () => {
    const open = useBrowser();
    const sorts = ['last', 'count', 'name'];

    test('is in sight among 500 names that came after it, in each order', async () => {
      const proxy = await startProxy();
      const twice = Array(2).fill('models.example.org');
      const subdomains = HUNDREDS.slice(0, 100).map((name) => `${name}.exfil.example`);
      await flood(proxy, [...twice, ...HUNDREDS, ...subdomains]);
      const { page, faults } = await open(urlOf(proxy), { viewport: { width: 1280, height: 720 } });
      await untilShown(page, 'models.example.org:80', '2×');
      await untilShown(page, 'exfil.example', '100×');
      for (const sort of sorts) {
        await page.selectOption('#sort', sort);
        expect(await isInSight(page, 'models.example.org:80'), sort).toBe(true);
      }
      expect(await page.locator('#units > .unit').count()).toBe(2);
      const fold = page.getByText('500 names came in a burst, none of them more often than most');
      await fold.click();
      const rows = page.locator('.fold .unit');
      expect(await rows.count()).toBe(50);
      await page.getByRole('button', { name: 'Show 50 more' }).click();
      expect(await rows.count()).toBe(100);
      await page.getByRole('button', { name: 'Show all 500' }).click();
      expect(await rows.count()).toBe(500);
      await page.fill('#search', 'MODELS');
      expect(await page.locator('#units > .unit').count()).toBe(1);
      const last = HUNDREDS.at(-1) ?? '';
      await page.fill('#search', last);
      await untilShown(page, last, `EGRESS_ALLOW_`);
      expect(faults).toEqual([]);
    });

    test('is in sight where it was asked for once, if models come from there', async () => {
      const proxy = await startProxy();
      await flood(proxy, [...HUNDREDS.slice(250), 'huggingface.co', ...HUNDREDS.slice(0, 250)]);
      const { page } = await open(urlOf(proxy), { viewport: { width: 1280, height: 720 } });
      await untilShown(page, 'huggingface.co:80', 'models from Hugging Face');
      for (const sort of sorts) {
        await page.selectOption('#sort', sort);
        expect(await isInSight(page, 'huggingface.co:80'), sort).toBe(true);
      }
    });

    test('noise and what verify tried stand apart, and what ingress refused with the requests', async () => {
      const proxy = await startProxy();
      await request(proxy, 'real.example:443');
      const { page } = await open(urlOf(proxy));
      await untilLive(page);
      await pretend(page, ({ groups }) => {
        groups.push(
          groupOf('n.example', { remedy: { line: null, limit: null, text: 'x', noise: true } }),
        );
        groups.push(
          groupOf('v.example', {
            remedy: { line: null, limit: null, text: 'x', noise: false, verify: true },
          }),
        );
        groups.push(groupOf('/x', { event: 'ingress', client: '10.1.1.9', count: 5 }));
      });
      expect(await page.locator('#units > .unit').count()).toBe(1);
      await page.getByText('Noise: One name that nothing needs (1× in all)').waitFor();
      await page
        .getByText('One name as verify tries them (1× in all): if you did not run it')
        .waitFor();
      await page
        .locator('#refused li', { hasText: /^10\.1\.1\.9 not_allowed, 5×, last / })
        .waitFor();
    });

    test('a domain is one row, with each of its names', async () => {
      const proxy = await startProxy();
      for (const host of ['a.models.co.uk', 'b.models.co.uk', 'models.co.uk', 'other.co.uk']) {
        await request(proxy, `${host}:443`);
      }
      const { page } = await open(urlOf(proxy));
      await untilShown(page, 'models.co.uk', '3×');
      await untilShown(page, 'other.co.uk:443', '1×');
      const row = page.locator('.unit', { hasText: 'b.models.co.uk' });
      expect(await row.locator('.names .target').allTextContents()).toEqual([
        ...['models.co.uk:443', 'b.models.co.uk:443', 'a.models.co.uk:443'],
      ]);
      expect(await row.locator('.line').count()).toBe(3 + 1 + 3);
    });
  },
);
