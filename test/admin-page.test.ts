import { describe, expect, test } from 'vitest';
import { hasNoBrowser, useBrowser } from './helpers/browser.ts';
import { startProxy } from './helpers/proxy.ts';
import {
  groupOf,
  LINE,
  pretend,
  request,
  untilLive,
  untilShown,
  urlOf,
} from './helpers/status-page.ts';

describe.skipIf(hasNoBrowser)(
  'the status page in a browser (needs chromium)',
  { timeout: 300_000 },
  () => {
    const open = useBrowser();

    test('loads without a complaint, and asks nobody else', async () => {
      const proxy = await startProxy({ EGRESS_MODE: 'report' });
      const { page, faults, origins } = await open(urlOf(proxy));
      await untilLive(page);
      expect(await page.textContent('#mode')).toBe('report');
      expect(await page.textContent('#whisper')).toMatch(/^down, \w+ \(http:\/\/127\.0\.0\.1:9\)$/);
      expect(await page.textContent('#warnings')).toMatch(/^EGRESS_MODE=report/);
      expect(await page.textContent('#decisions-note')).toMatch(/^Nothing has been denied since /);
      expect(await page.textContent('#listeners')).toContain(`127.0.0.1:${proxy.port}`);
      expect(faults).toEqual([]);
      expect([...origins].filter((origin) => origin !== 'null')).toEqual([
        new URL(urlOf(proxy)).origin,
      ]);
    });

    test('shows a denial as it happens, counts it, and what allows it', async () => {
      const proxy = await startProxy();
      const { page, faults } = await open(urlOf(proxy));
      await untilLive(page);
      await request(proxy, 'huggingface.co:443');
      await untilShown(page, 'huggingface.co:443', '1×');
      await request(proxy, 'huggingface.co:443');
      await untilShown(page, 'huggingface.co:443', '2×');
      await request(proxy, '169.254.169.254:80');
      await untilShown(page, '169.254.169.254:80', 'closed under any rule');
      const [newest, oldest] = await page.locator('.group').all();
      expect(await newest?.locator('.line').isVisible()).toBe(false);
      expect(await oldest?.locator('.line').textContent()).toBe(LINE);
      expect(await oldest?.locator('.about').textContent()).toMatch(
        /^not_allowed: .* · connect · first /,
      );
      const plot = page.getByRole('img', {
        name: /^3 denied in the last hour, at most \d a minute$/,
      });
      expect(await plot.locator('rect').count()).toBeGreaterThan(0);
      await page.getByText('As a table').click();
      expect(await page.locator('#hour tbody td').first().textContent()).toMatch(/^[123]$/);
      expect(faults).toEqual([]);
    });

    test('shows what was allowed on demand, and which rules were used', async () => {
      const allow = 'origin.test:9 unused.example';
      const proxy = await startProxy(
        { EGRESS_ALLOW: `${allow} 127.0.0.1:9`, EGRESS_DENY: 'x.example' },
        { 'origin.test': ['127.0.0.1'] },
      );
      const { page } = await open(urlOf(proxy));
      await untilLive(page);
      await request(proxy, 'x.example:443');
      await untilShown(page, 'x.example:443', 'deny_rule');
      await pretend(page, ({ groups, rules }) => {
        const last = new Date(Date.now() - 1_000).toISOString();
        const allowed = { decision: 'allow', reason: null, remedy: null, last } as const;
        groups.push(groupOf('origin.test', { ...allowed, rule: 'origin.test:9' }));
        const until = new Date(Date.now() + 1_800_000).toISOString();
        rules.push({ list: 'allow', label: 'timed.example', used: 2, last, until });
      });
      expect(await page.getByText('origin.test:443').count()).toBe(0);
      await page.getByRole('button', { name: 'All', exact: true }).click();
      await untilShown(page, 'origin.test:443', 'allowed');
      const rules = await page.locator('#rules tbody tr').allTextContents();
      expect(rules).toEqual([
        'origin.test:9 unused0',
        'unused.example unused0',
        '127.0.0.1:9 unused0',
        expect.stringMatching(/^x\.example deny1\d\d:\d\d:\d\d$/),
        expect.stringMatching(/^timed\.example until \d\d:\d\d2\d\d:\d\d:\d\d$/),
      ]);
      expect(await page.textContent('#rules-note')).toMatch(/^3 of 5 not used since /);
    });

    test('copies the line', async () => {
      const proxy = await startProxy();
      await request(proxy, 'huggingface.co:443');
      const permissions = ['clipboard-read', 'clipboard-write'];
      const { page, faults } = await open(urlOf(proxy), { permissions });
      await page.getByRole('button', { name: `Copy ${LINE}` }).click();
      await page.locator('#said', { hasText: 'Copied' }).waitFor();
      expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(LINE);
      expect(faults).toEqual([]);
    });

    test('selects the line where there is no clipboard', async () => {
      const proxy = await startProxy();
      await request(proxy, 'huggingface.co:443');
      const { page, faults } = await open(`http://whisper-proxy:${proxy.ports.admin}/`);
      expect(await page.evaluate(() => window.isSecureContext)).toBe(false);
      await page.getByRole('button', { name: `Copy ${LINE}` }).click();
      await page.locator('#said', { hasText: 'selected' }).waitFor();
      expect(await page.evaluate(() => String(getSelection()))).toBe(LINE);
      expect(faults).toEqual([]);
    });

    test('says that it is disconnected, and comes back with the proxy', async () => {
      const proxy = await startProxy();
      await request(proxy, 'before.example:443');
      const { page } = await open(urlOf(proxy));
      await untilShown(page, 'before.example:443');
      await proxy.stop();
      await page.locator('#connection', { hasText: 'Disconnected since' }).waitFor();
      await page.setViewportSize({ width: 360, height: 300 });
      for (const end of [0, 10_000]) {
        await page.evaluate((top) => scrollTo(0, top), end);
        const { y, height } = (await page.locator('#connection').boundingBox()) ?? {
          y: 0,
          height: 0,
        };
        expect(y).toBeGreaterThan(0);
        expect(y + height).toBeLessThan(300);
      }
      await untilShown(page, 'before.example:443');
      const again = await startProxy({ ADMIN_LISTEN: `127.0.0.1:${proxy.ports.admin}` });
      await untilLive(page);
      expect(await page.locator('.group').count()).toBe(0);
      await request(again, 'after.example:443');
      await untilShown(page, 'after.example:443');
    });

    test('holds one stream of events, however often and wherever it breaks', async () => {
      let proxy = await startProxy();
      const { page } = await open(urlOf(proxy));
      await untilLive(page);
      await page.evaluate(() => {
        const streams: EventSource[] = [];
        const Real = EventSource;
        window.EventSource = class extends Real {
          constructor(url: string | URL) {
            super(url);
            streams.push(this);
          }
        };
        Object.assign(window, { streams });
      });
      for (const host of ['one.example', 'two.example', 'three.example']) {
        // The stream breaks while a request is under way, which fails only after that.
        await page.route('**/decisions', async (route) => {
          await page.locator('#connection:not([data-state=live])').waitFor();
          await route.abort();
        });
        const asked = page.waitForRequest('**/decisions');
        await request(proxy, `${host}:443`);
        await asked;
        await proxy.stop();
        await page.locator('#connection:not([data-state=live])').waitFor();
        await page.unroute('**/decisions');
        proxy = await startProxy({ ADMIN_LISTEN: `127.0.0.1:${proxy.ports.admin}` });
        await untilLive(page);
      }
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      const held = await page.evaluate(
        () =>
          (window as unknown as { streams: EventSource[] }).streams.filter(
            ({ readyState }) => readyState !== EventSource.CLOSED,
          ).length,
      );
      expect(held).toBe(1);
    }, 180_000);

    test('takes the token once, and tells when it is another', async () => {
      const proxy = await startProxy({ ADMIN_TOKEN: 'one' });
      const url = urlOf(proxy);
      const { page, faults } = await open(`${url}?token=one`);
      await untilLive(page);
      expect(page.url()).toBe(url);
      expect(await page.evaluate(() => document.cookie)).toBe('');
      await page.reload();
      await untilLive(page);
      expect(faults).toEqual([]);
      await proxy.stop();
      await startProxy({ ADMIN_TOKEN: 'two', ADMIN_LISTEN: `127.0.0.1:${proxy.ports.admin}` });
      await page.locator('#connection', { hasText: 'open this page once with /?token=' }).waitFor();
      const { page: stranger } = await open(url);
      expect(await stranger.textContent('body')).toContain('this needs ADMIN_TOKEN');
    });

    test('a name that was pointed here shows nothing', async () => {
      const proxy = await startProxy();
      const { page } = await open(`http://rebound.example:${proxy.ports.admin}/`);
      expect(await page.textContent('body')).toContain('under no other name');
    });
  },
);
