import type { Page } from 'playwright-core';
import type { RuleUse, ShownGroup, Snapshot } from '../../src/report/snapshot.ts';
import type { TestProxy } from './proxy.ts';
import { ask, connectTo } from './raw-client.ts';

/** What allows huggingface.co, which tests ask for. */
export const LINE = 'EGRESS_ALLOW_HUGGINGFACE=huggingface.co hf.co *.hf.co';

/** Makes whisper ask for a target. */
export function request(proxy: TestProxy, target: string) {
  return ask(proxy.port, connectTo(target));
}

/** The page's address. */
export function urlOf({ ports }: TestProxy): string {
  return `http://127.0.0.1:${ports.admin}/`;
}

/** Waits until the page follows the proxy. */
export async function untilLive(page: Page): Promise<void> {
  await page.locator('#connection[data-state=live]').waitFor();
}

/** Waits for the row of a target, and for a text in it. */
export async function untilShown(page: Page, target: string, text = ''): Promise<void> {
  await page.locator('#units > .unit', { hasText: target }).filter({ hasText: text }).waitFor();
}

/** Has the page show what the proxy did not say. */
export async function pretend(page: Page, change: (snapshot: Snapshot) => void): Promise<void> {
  await page.route('**/decisions', async (route) => {
    const response = await route.fetch();
    const snapshot = (await response.json()) as Snapshot;
    change(snapshot);
    await route.fulfill({ response, json: snapshot });
  });
  await page.reload();
  await untilLive(page);
}

/** A denial. */
export function groupOf(host: string, change: Partial<ShownGroup> = {}): ShownGroup {
  const time = new Date().toISOString();
  return {
    event: 'egress',
    decision: 'deny',
    reason: 'not_allowed',
    rule: null,
    host,
    port: 443,
    via: ['connect'],
    count: 1,
    first: time,
    last: time,
    address: null,
    error: null,
    client: null,
    final: false,
    domain: null,
    source: null,
    burst: false,
    command: `podman exec whisper-proxy whisper-proxy allow ${host} --for 30m`,
    remedy: {
      line: `EGRESS_ALLOW=${host}`,
      limit: null,
      text: 'no allow rule covers it',
      noise: false,
    },
    ...change,
  };
}

/** An allow rule that was never used. */
export function ruleOf(label: string, change: Partial<RuleUse> = {}): RuleUse {
  const since = new Date().toISOString();
  return { list: 'allow', label, used: 0, last: null, until: null, since, ...change };
}
