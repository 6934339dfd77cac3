import {
  create,
  find,
  formatBytes,
  formatCount,
  formatDuration,
  formatTime,
  setText,
} from './dom.js';

/** @import { Health } from '../health.ts' */
/** @import { IngressActivity, RequestSummary } from '../../report/recent-requests.ts' */
/** @import { ShownGroup } from '../../report/snapshot.ts' */
/** @import { State } from './live.js' */

const FEW = 10;
const RECENT_MS = 600_000;
const OUTCOMES = { client_closed: 'client left', cut_off: 'cut off' };

/** Whether the service is all right: whisper, and the requests to it. */
export class Service {
  #section = find('#service');
  #whisper = find('#whisper');
  #more = find('#whisper-more');
  #all = find('#all-requests');
  #showsAll = false;
  /** @type {Health['upstream'] | undefined} */
  #upstream;
  /** @type {IngressActivity | undefined} */
  #ingress;
  /** When that was so. */
  #seen = '';
  #isLive = false;

  constructor() {
    this.#all.onclick = () => {
      this.#showsAll = !this.#showsAll;
      if (this.#ingress) this.#showRequests(this.#ingress);
    };
  }

  /**
   * @param {Health} health
   * @param {IngressActivity} ingress
   */
  show({ upstream, timed }, ingress) {
    this.#upstream = upstream;
    this.#ingress = ingress;
    this.#isLive = true;
    this.#showWhisper();
    const { median_ms, median_of, failures, in_flight } = ingress;
    setText(find('#running'), formatCount(in_flight));
    const median = median_ms === null ? '–' : formatDuration(median_ms);
    setText(find('#median'), median_of < 2 ? median : `${median} (last ${median_of})`);
    const failed = failures.reduce((sum, { count }) => sum + count, 0);
    const element = find('#failed');
    element.dataset.recent = String(failures.some(isRecent));
    setText(element, formatCount(failed));
    const ends = timed.map(({ rule, until }) => `${rule} until ${formatTime(until, 'minute')}`);
    setText(find('#timed'), ends.length === 0 ? 'nothing' : ends.join(', '));
    this.#showFailures(ingress);
    this.#showRequests(ingress);
  }

  /** @param {State} state */
  showState(state) {
    if (state === 'live') this.#seen = new Date().toISOString();
    if (this.#isLive === (state === 'live')) return;
    this.#isLive = state === 'live';
    this.#showWhisper();
  }

  /** What ingress has denied. @param {readonly ShownGroup[]} groups */
  showRefused(groups) {
    const refused = groups.filter(({ event }) => event === 'ingress');
    find('#refused').hidden = refused.length === 0;
    const rows = refused.slice(0, FEW).map(({ client, reason, count, last, remedy }) => {
      const who = create('bdi', 'target', client ?? 'several clients');
      const text = ` ${reason}, ${formatCount(count)}×, last ${formatTime(last)}`;
      return create('li', '', who, text, create('span', 'note', `: ${remedy?.text ?? ''}`));
    });
    const more = refused.length - rows.length;
    if (more > 0) rows.push(create('li', 'note', `and ${formatCount(more)} more: see denied`));
    find('#refused ul').replaceChildren(...rows);
  }

  #showWhisper() {
    if (this.#upstream === undefined) return;
    const { state, error, address } = this.#upstream;
    this.#section.dataset.state = this.#isLive ? state : 'unknown';
    if (!this.#isLive) {
      setText(this.#whisper, 'whisper: unknown');
      setText(this.#more, `It was ${state} at ${formatTime(this.#seen)}.`);
      return;
    }
    setText(this.#whisper, `whisper is ${state}`);
    const status = error === 'ETIMEDOUT' ? 504 : 502;
    const text = `${error ?? ''} at ${address}. Its clients get ${status} until it listens again.`;
    setText(this.#more, state === 'up' ? `at ${address}` : text);
  }

  /** @param {IngressActivity} ingress */
  #showFailures({ failures }) {
    const list = find('#failures');
    list.hidden = failures.length === 0;
    const rows = failures.map((failure) => {
      const { status, reason, error, count, last, text } = failure;
      const what = create('strong', '', `${status === 'cut_off' ? 'cut off' : status} ${reason}`);
      const code = error === null ? '' : ` (${error})`;
      const often = `${code}, ${formatCount(count)}×, last ${formatTime(last)}: ${text}`;
      const row = create('li', '', what, often);
      row.dataset.recent = String(isRecent(failure));
      return row;
    });
    const isSame = rows.every((row, index) => row.isEqualNode(list.children[index] ?? null));
    if (!isSame || rows.length !== list.children.length) list.replaceChildren(...rows);
  }

  /** @param {IngressActivity} ingress */
  #showRequests({ running, last, in_flight }) {
    const all = [...running, ...last];
    const shown = this.#showsAll ? all : all.slice(0, Math.max(FEW, running.length));
    const unlisted = in_flight - running.length;
    const more = unlisted > 0 ? ` ${formatCount(unlisted)} more are running.` : '';
    const note = all.length === 0 ? 'There was none since the start.' : more;
    setText(find('#requests-note'), note);
    find('#requests-note').hidden = note === '';
    find('#requests table').hidden = all.length === 0;
    find('#requests tbody').replaceChildren(...shown.map(createRow));
    this.#all.hidden = all.length <= Math.max(FEW, running.length);
    setText(this.#all, this.#showsAll ? 'Show fewer' : `Show the last ${all.length}`);
  }
}

/** Whether a failure is news. @param {{ last: string }} failure */
function isRecent({ last }) {
  return Date.now() - Date.parse(last) < RECENT_MS;
}

/** @param {RequestSummary} request */
function createRow({
  client,
  method,
  status,
  started,
  duration_ms,
  bytes_in,
  bytes_out,
  reason,
  error,
}) {
  const outcome = create('span', 'outcome', describeOutcome(status));
  outcome.dataset.kind = kindOf(status, reason);
  if (reason !== null) outcome.title = error === null ? reason : `${reason} (${error})`;
  const began = create('time', '', formatTime(started));
  began.dateTime = started;
  const who = create('bdi', 'target', client ?? '–');
  const cells = [
    create('td', 'when', began),
    create('td', 'who', who),
    create('td', 'what', `${method ?? '?'} `, outcome),
    create('td', '', formatDuration(duration_ms)),
    create('td', '', formatBytes(bytes_in)),
    create('td', '', formatBytes(bytes_out)),
  ];
  return create('tr', status === null ? 'running' : '', ...cells);
}

/** @param {RequestSummary['status']} status */
function describeOutcome(status) {
  if (status === null) return 'running';
  return typeof status === 'number' ? String(status) : OUTCOMES[status];
}

/**
 * @param {RequestSummary['status']} status
 * @param {string | null} reason
 */
function kindOf(status, reason) {
  if (status === null) return 'running';
  if (reason !== null || (typeof status === 'number' && status >= 500)) return 'failed';
  return typeof status === 'number' && status < 400 ? 'answered' : 'odd';
}
