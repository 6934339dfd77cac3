import type { TalliedFailure } from '../report/failures.ts';
import { splitLines } from '../report/lines.ts';
import type { LoggedDecision, LoggedFailure } from '../report/log-line.ts';
import { type Known, remedyFor, takenGroups } from '../report/remedies.ts';
import { formatFailureRow, formatRow } from '../report/row.ts';
import type { Snapshot } from '../report/snapshot.ts';
import { type Tallied, Tally } from '../report/tally.ts';
import type { AdminClient } from './ask-admin.ts';
import type { DeniedOptions } from './denied.ts';
import { outputLook, print } from './terminal.ts';

/** Milliseconds: the proxy says every fifteen seconds that it is still there. */
const SILENCE = 60_000;
const LONGEST_LINE = 65_536;

/** Shows decisions one by one; what can be done about each with the first of its like. */
export class Follower {
  readonly #json: boolean;
  readonly #known: Known;
  readonly #tally = new Tally();

  constructor(json: boolean, known: Known) {
    this.#json = json;
    this.#known = known;
  }

  async show(logged: LoggedDecision | LoggedFailure): Promise<void> {
    if ('failure' in logged) {
      await this.#showFailure(logged);
      return;
    }
    const { decision, time, count } = logged;
    if (this.#json) {
      const repeated = count > 1 ? { repeated: count } : {};
      await print(`${JSON.stringify({ time, ...decision, ...repeated })}\n`);
      return;
    }
    const group = this.#tally.add(decision, time, count);
    const remedy = remedyFor(group, this.#known);
    const isNew = group.count === count;
    const one = { ...group, last: time, remedy };
    await print(formatRow(one, count, isNew, outputLook()));
  }

  async #showFailure({ failure, time, count }: LoggedFailure): Promise<void> {
    const repeated = count > 1 ? { repeated: count } : {};
    const line = { time, event: 'ingress_failure', ...failure, ...repeated };
    await print(
      this.#json
        ? `${JSON.stringify(line)}\n`
        : formatFailureRow(failure, time, count, outputLook()),
    );
  }

  /** Tells of decisions that came too fast to be shown. */
  async showSkipped(skipped: number): Promise<void> {
    await print(
      this.#json ? `${JSON.stringify({ skipped })}\n` : `(${skipped} more, too fast to show)\n`,
    );
  }
}

/**
 * Shows what the proxy remembers, then every decision as it is made, until the proxy ends.
 * @param report prints what it remembers.
 * @throws Error when the proxy ends, or does not answer.
 */
export async function followProxy(
  admin: AdminClient,
  { all = false, json = false }: DeniedOptions,
  report: () => Promise<Snapshot>,
): Promise<never> {
  // First, so that nothing is lost between the two; a decision there may show twice.
  const events = await admin.get('/events', SILENCE);
  const snapshot = json ? { rules: [], denies_all: false } : await report();
  const taken = takenGroups(snapshot.rules.filter(({ list }) => list === 'allow'));
  const follower = new Follower(json, { policy: null, taken, denies_all: snapshot.denies_all });
  for await (const { event, data } of readEvents(events)) {
    if (event === 'skipped') await follower.showSkipped((data as { skipped: number }).skipped);
    if (event === 'failure') {
      const { time, ...failure } = data as TalliedFailure & { time: string };
      await follower.show({ failure, time, count: 1 });
    }
    if (event !== 'decision') continue;
    const { time, ...decision } = data as Tallied & { time: string };
    if (all || decision.decision !== 'allow') await follower.show({ decision, time, count: 1 });
  }
  throw new Error('it has ended');
}

/** The events of a stream (HTML standard, section 9.2.6), as this proxy writes them. */
async function* readEvents(
  chunks: AsyncIterable<Buffer>,
): AsyncGenerator<{ event: string; data: unknown }> {
  let event = '';
  for await (const line of splitLines(chunks, LONGEST_LINE)) {
    if (line?.startsWith('event: ')) event = line.slice('event: '.length);
    else if (line?.startsWith('data: ')) {
      yield { event, data: JSON.parse(line.slice('data: '.length)) };
    }
  }
}
