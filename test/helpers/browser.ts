import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll } from 'vitest';
import { cleanUp } from './proxy-cleanup.ts';
import { isMissing } from './tools.ts';

const CHROMIUM = '/usr/bin/chromium';
const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Names that stand for this machine: the proxy's own, and one that a stranger pointed here.
  '--host-resolver-rules=MAP whisper-proxy 127.0.0.1, MAP rebound.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
];

export const hasNoBrowser = isMissing(CHROMIUM);

/** A page, and what went wrong in it so far. */
export interface Opened {
  page: Page;
  /** Errors and warnings of the console, violations of the page's policy among them. */
  faults: string[];
  /** The origins that anything was asked of. */
  origins: Set<string>;
}

/**
 * A browser for the tests of a file, without any state from before.
 * @returns opens an address in a session of its own.
 */
export function useBrowser(): (url: string, options?: BrowserContextOptions) => Promise<Opened> {
  let browser: Browser | undefined;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGS, headless: true });
  }, 180_000);
  afterAll(() => browser?.close());
  return async (url, options = {}) => {
    if (browser === undefined) throw new Error('the browser has not started');
    const context = await browser.newContext(options);
    cleanUp(() => context.close());
    context.setDefaultTimeout(60_000);
    const page = await context.newPage();
    const faults: string[] = [];
    const origins = new Set<string>();
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) faults.push(message.text());
    });
    page.on('pageerror', (error) => faults.push(String(error)));
    page.on('request', (request) => origins.add(new URL(request.url()).origin));
    await page.goto(url);
    return { page, faults, origins };
  };
}

/** The texts of a page that stand out too little from what is behind them (WCAG 2.2, 1.4.3). */
export function findFaintTexts(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const parse = (color: string) => (color.match(/[\d.]+/g) ?? []).map(Number);
    const luminance = (color: string) => {
      const [red = 0, green = 0, blue = 0] = parse(color).map((value) => {
        const part = value / 255;
        return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const ground = (element: Element | null): string => {
      if (element === null) return 'rgb(255, 255, 255)';
      const { backgroundColor } = getComputedStyle(element);
      return parse(backgroundColor)[3] === 0 ? ground(element.parentElement) : backgroundColor;
    };
    const hasText = (element: Element) =>
      [...element.childNodes].some((node) => node.nodeType === 3 && node.nodeValue?.trim() !== '');
    return [...document.body.querySelectorAll('*')].filter(hasText).flatMap((element) => {
      const pair = [getComputedStyle(element).color, ground(element)].map(luminance);
      const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
      return ratio < 4.5 ? [`${element.textContent}: ${ratio.toFixed(2)}`] : [];
    });
  });
}
