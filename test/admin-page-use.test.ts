import { describe, expect, test } from 'vitest';
import { findFaintTexts, hasNoBrowser, useBrowser } from './helpers/browser.ts';
import { ask } from './helpers/ingress.ts';
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

/** Names as no proxy of ours would show them: they may be as bad as they like. */
const HOSTILE = [
  '<img src=x onerror="document.title=1">',
  '<script>document.title=2</script>',
  `"'&amp;&lt;&#x3c;`,
  "javascript:document.title='3'",
  'x'.repeat(255),
  `${'\u202e'}evil\u2066.example`,
  'شبكة.مثال',
  'a b\tc\nd',
  '\u0000\u0007',
];

describe.skipIf(hasNoBrowser)(
  'how the status page is used (needs chromium)',
  { timeout: 300_000 },
  () => {
    const open = useBrowser();

    test('works from the keyboard, and nothing moves under the focus', async () => {
      const proxy = await startProxy();
      await request(proxy, 'huggingface.co:443');
      const { page } = await open(urlOf(proxy));
      await untilShown(page, 'huggingface.co:443');
      const focused = () =>
        page.evaluate(() => {
          const element = document.activeElement;
          if (element === null || element === document.body) return 'nothing';
          const isSeen = getComputedStyle(element).outlineStyle === 'solid';
          return `${element.ariaLabel ?? element.textContent}${isSeen ? '' : ' (unseen)'}`;
        });
      const press = async (key: string) => {
        await page.keyboard.press(key);
        return focused();
      };
      expect(await press('Tab')).toBe('Skip to what whisper wants');
      await page.keyboard.press('Enter');
      expect(await press('Tab')).toBe('Denied');
      expect(await press('Tab')).toBe('All');
      expect(await press('Space')).toBe('All');
      expect(await page.getAttribute('[data-filter=all]', 'aria-pressed')).toBe('true');
      expect(await press('Tab')).toMatch(/^\s*latest first/);
      await page.keyboard.press('ArrowDown');
      expect(await page.inputValue('#sort')).toBe('count');
      expect(await press('Tab')).toBe('Search hosts, reasons and clients');
      expect(await press('Tab')).toBe(`Copy ${LINE}`);
      await request(proxy, 'newer.example:443');
      await page.getByRole('button', { name: '1 newer' }).waitFor();
      expect(await focused()).toBe(`Copy ${LINE}`);
      expect(await page.locator('.unit').count()).toBe(1);
      expect(await press('Shift+Tab')).toBe('1 newer');
      await page.keyboard.press('Enter');
      await untilShown(page, 'newer.example:443');
      expect(await page.locator('#newer').isVisible()).toBe(false);
      // Once around, and out of the page.
      const seen = [];
      for (let tab = 0; tab < 16; tab += 1) seen.push(await press('Tab'));
      expect(seen).toContain(`Copy ${LINE}`);
      expect(seen).toContain('nothing');
    });

    test('what whisper controls stays text, and in its place', async () => {
      const proxy = await startProxy();
      const { page, faults } = await open(urlOf(proxy), { viewport: { width: 360, height: 740 } });
      await request(proxy, '<img/src=x/onerror=document.title=0>:443');
      await untilShown(page, '<img/src=x/onerror=document.title=0>:443', 'bad_target');
      const kinds = () =>
        page.evaluate(() => [
          ...new Set([...document.querySelectorAll('*')].map((each) => each.tagName)),
        ]);
      const before = await kinds();
      await pretend(page, ({ groups, rules }) => {
        groups.push(...HOSTILE.map((host) => groupOf(host, { rule: host, client: host })));
        groups.push(...HOSTILE.map((host) => groupOf(host, { domain: 'evil.example' })));
        groups.push(...HOSTILE.map((host) => groupOf(host, { event: 'ingress', client: host })));
        rules.push(...HOSTILE.map((label) => ruleOf(label)));
      });
      await page.getByRole('button', { name: `Show all ${HOSTILE.length} names` }).click();
      const shown = await page.locator('#units .unit > .name .target').allTextContents();
      const targets = HOSTILE.map((host) => (host.includes(':') ? `[${host}]:443` : `${host}:443`));
      expect(shown.toSorted()).toEqual(
        [...targets, 'evil.example', '<img/src=x/onerror=document.title=0>:443'].toSorted(),
      );
      expect(await page.locator('.names .target').allTextContents()).toEqual(targets);
      await page.fill('#search', '<script>');
      expect(await page.locator('#units .unit').count()).toBe(2);
      await page.fill('#search', '');
      expect(await page.title()).toBe('whisper-proxy');
      expect((await kinds()).filter((kind) => ['IMG', 'SCRIPT'].includes(kind))).toEqual(
        before.filter((kind) => ['IMG', 'SCRIPT'].includes(kind)),
      );
      expect(faults).toEqual([]);
      for (const width of [320, 360, 700, 1280]) {
        await page.setViewportSize({ width, height: 740 });
        const overflow = await page.evaluate(
          () => document.documentElement.scrollWidth - innerWidth,
        );
        expect(overflow, `${width} px`).toBeLessThanOrEqual(0);
        const sticking = await page.evaluate(() =>
          [...document.querySelectorAll('section')]
            .flatMap((section) =>
              [...section.querySelectorAll('*')].filter(
                (each) =>
                  !each.matches('.unseen') &&
                  each.getBoundingClientRect().right > section.getBoundingClientRect().right + 0.5,
              ),
            )
            .map(({ className }) => className),
        );
        expect(sticking, `${width} px`).toEqual([]);
      }
    });

    test.each(['light', 'dark'] as const)('can be read in the %s', async (colorScheme) => {
      const proxy = await startProxy({ EGRESS_MODE: 'report', EGRESS_DENY: 'x.example' });
      await request(proxy, 'x.example:443');
      const { page } = await open(urlOf(proxy), { colorScheme, reducedMotion: 'reduce' });
      await untilLive(page);
      await pretend(page, ({ groups, rules }) => {
        groups.push(groupOf('a.example', { decision: 'would_deny' }));
        groups.push(groupOf('b.example', { decision: 'allow', reason: null, remedy: null }));
        groups.push(
          groupOf('c.example', { remedy: { line: null, limit: null, text: 'noise', noise: true } }),
        );
        groups.push(groupOf('d.example', { burst: true }), groupOf('x', { event: 'ingress' }));
        groups.push(groupOf('e.example', { source: 'Hugging Face' }));
        const time = new Date().toISOString();
        rules.push(ruleOf('t', { until: time }), ruleOf('u', { since: '2026-01-01T00:00:00Z' }));
      });
      await ask(`http://127.0.0.1:${proxy.ports.ingress}/`);
      await page.locator('#requests .outcome').waitFor();
      for (const fold of await page.locator('#folds summary').all()) {
        if (await fold.isVisible()) await fold.click();
      }
      await page.getByRole('button', { name: 'All', exact: true }).click();
      await untilShown(page, 'b.example');
      expect(await findFaintTexts(page)).toEqual([]);
      await proxy.stop();
      await page.locator('#connection[data-state=lost]').waitFor();
      expect(await findFaintTexts(page)).toEqual([]);
      const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      expect(Number(/\d+/.exec(ground)?.[0]) < 128).toBe(colorScheme === 'dark');
    });

    test.each([
      ['reduce', null],
      ['no-preference', 'fresh'],
    ] as const)('motion: %s', async (reducedMotion, animation) => {
      const proxy = await startProxy();
      const { page } = await open(urlOf(proxy), { reducedMotion });
      await untilLive(page);
      await request(proxy, 'a.example:443');
      await untilShown(page, 'a.example:443');
      await page.evaluate(() => {
        addEventListener('animationstart', ({ animationName }) => {
          document.body.dataset.animation = animationName;
        });
      });
      await request(proxy, 'b.example:443');
      await untilShown(page, 'b.example:443');
      await page.evaluate(
        () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 100))),
      );
      expect(await page.getAttribute('body', 'data-animation')).toBe(animation);
    });
  },
);
