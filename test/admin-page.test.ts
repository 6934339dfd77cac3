import { describe, expect, test } from 'vitest';
import { findFaintTexts, hasNoBrowser, useBrowser } from './helpers/browser.ts';
import { startProxy } from './helpers/proxy.ts';
import {
  groupOf,
  LINE,
  pretend,
  request,
  ruleOf,
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
      expect(await page.textContent('#whisper')).toBe('whisper is down');
      expect(await page.textContent('#whisper-more')).toMatch(
        /^\w+ at http:\/\/127\.0\.0\.1:9\. Its clients get 50[24] until it listens again\.$/,
      );
      expect(await page.textContent('#warnings')).toMatch(/^EGRESS_MODE=report/);
      expect(await page.textContent('#wanted-note')).toMatch(/^Nothing has been denied since /);
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
      const [newest, oldest] = await page.locator('.unit').all();
      expect(await newest?.locator('.line').count()).toBe(0);
      expect(await oldest?.locator('.line').allTextContents()).toEqual([
        LINE,
        'EGRESS_MAX_UPLOAD_HUGGINGFACE=256KiB',
        'podman exec whisper-proxy whisper-proxy reload',
        "podman exec whisper-proxy whisper-proxy allow huggingface.co hf.co '*.hf.co' --for 30m --max-upload 256KiB",
      ]);
      expect(await oldest?.locator('.why').textContent()).toMatch(
        /^not_allowed: .* · connect · first /,
      );
      const plot = page.getByRole('img', {
        name: /^3 denied and 0 let through in the last hour, at most \d a minute$/,
      });
      expect(await plot.locator('rect.deny').count()).toBeGreaterThan(0);
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
        rules.push(ruleOf('timed.example', { used: 2, last, until }));
        const since = new Date(Date.now() - 9 * 86_400_000).toISOString();
        rules.push(ruleOf('old.example', { since }), ruleOf('z.example', { list: 'deny', since }));
      });
      expect(await page.getByText('origin.test:443').count()).toBe(0);
      await page.getByRole('button', { name: 'All', exact: true }).click();
      await untilShown(page, 'origin.test:443', 'allowed');
      const rules = await page.locator('#rules tbody tr').allTextContents();
      const since = String.raw`in force since (\d+ \w+, |\w+ \d+, )?\d\d:\d\d`;
      const row = (text: string) => expect.stringMatching(new RegExp(`^${text}$`));
      expect(rules).toEqual([
        row(`origin.test:90${since}`),
        row(`unused.example0${since}`),
        row(`127.0.0.1:90${since}`),
        row(String.raw`x\.example deny1\d\d:\d\d:\d\d`),
        row(String.raw`timed\.example until \d\d:\d\d2\d\d:\d\d:\d\d`),
        row(`old.example unused for 9 days0${since}`),
        // Nobody is to take out a deny rule because it was never needed.
        row(`z.example deny0${since}`),
      ]);
      expect(await page.textContent('#rules-note')).toMatch(
        /^One allow rule has not been used for /,
      );
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
      await page.locator('#connection', { hasText: 'Disconnected.' }).waitFor();
      expect(await page.getAttribute('#service', 'data-state')).toBe('unknown');
      expect(await page.textContent('#whisper')).toBe('whisper: unknown');
      expect(await page.textContent('#whisper-more')).toMatch(/^It was down at \d\d:\d\d:\d\d\.$/);
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
      expect(await page.locator('.unit').count()).toBe(0);
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
      await page.locator('#connection', { hasText: 'The proxy wants its token.' }).waitFor();
      await page.getByRole('button', { name: 'Log in again' }).click();
      await page.getByLabel('ADMIN_TOKEN').waitFor();
    });

    test('asks for the token, and takes it', async () => {
      const proxy = await startProxy({ ADMIN_TOKEN: 'a+b/c=' });
      const url = urlOf(proxy);
      const { page, faults } = await open(url);
      const field = page.getByLabel('ADMIN_TOKEN');
      const complains = (text: string) =>
        page.getByRole('alert').filter({ hasText: text }).waitFor();
      expect(await field.evaluate((each) => each === document.activeElement)).toBe(true);
      for (const wrong of ['wrong', '“a+b/c=”', 'a+b/c']) {
        await field.fill(wrong);
        await page.keyboard.press('Enter');
        await complains('This is not the token that the proxy has.');
        await page.getByRole('alert').evaluate((each) => each.replaceChildren());
      }
      expect(await findFaintTexts(page)).toEqual([]);
      await field.fill(' a+b/c= ');
      await page.getByRole('button', { name: 'Log in' }).click();
      await untilLive(page);
      expect(page.url()).toBe(url);
      await page.reload();
      await untilLive(page);
      // The browser itself tells of answers with status 401, and nothing else is wrong.
      expect(faults.filter((fault) => !fault.includes('401'))).toEqual([]);
    });

    test('says so when the proxy has gone before the token comes', async () => {
      const proxy = await startProxy({ ADMIN_TOKEN: 'one' });
      const { page } = await open(urlOf(proxy));
      await proxy.stop();
      await page.getByLabel('ADMIN_TOKEN').fill('one');
      await page.keyboard.press('Enter');
      await page.getByRole('alert').filter({ hasText: 'does not answer' }).waitFor();
    });

    test('a name that was pointed here shows nothing', async () => {
      const proxy = await startProxy();
      const { page } = await open(`http://rebound.example:${proxy.ports.admin}/`);
      expect(await page.textContent('body')).toContain('under no other name');
    });
  },
);
