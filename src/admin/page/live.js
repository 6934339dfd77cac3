/** @import { Status } from '../status.ts' */
/** @import { Snapshot } from '../../report/snapshot.ts' */

/**
 * `live`: what is shown is what is. `stale`: the stream is open, but silent. `lost`: there is none.
 * `refused`: the proxy wants its token.
 * @typedef {'live' | 'stale' | 'lost' | 'refused'} State
 */
/**
 * @typedef Listener
 * @property {(snapshot: Snapshot) => void} snapshot
 * @property {(status: Status) => void} status
 * @property {(state: State) => void} state
 */

const AGAIN_MS = 2_000;
const ANSWER_MS = 8_000;
/** However much happens, the page asks and draws once a second, and less often where that takes long. */
const REFRESH_MS = 1_000;
const SLOWEST_MS = 3_000;
/** The hour moves on without a decision. */
const POLL_MS = 15_000;
const WATCH_MS = 500;
/** The proxy sends something every second. */
const SILENCE_MS = 4_000;
/** After that the stream is given up. */
const DEAD_MS = 15_000;

/**
 * Follows the proxy. Its status comes in the stream, every second where it changes. A decision in the
 * stream says that there is something new; what it is comes from /decisions, where the proxy has
 * counted it. Reconnects by itself.
 */
export class Live {
  #listener;
  /** @type {EventSource | undefined} */
  #stream;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #refresh;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #again;
  #refreshed = 0;
  /** How long the last answer took. */
  #took = 0;
  /** When the stream said something last. */
  #heard = 0;
  /** Since when there is something that has not been loaded; 0: there is nothing. */
  #behind = 0;
  #rules = '';

  /** @param {Listener} listener */
  constructor(listener) {
    this.#listener = listener;
  }

  start() {
    this.#connect();
    setInterval(() => this.#isOpen && this.#load(), POLL_MS);
    setInterval(() => this.#watch(), WATCH_MS);
  }

  async #connect() {
    if (!(await this.#load())) return;
    this.#stream?.close();
    const stream = new EventSource('/events?status');
    this.#stream = stream;
    this.#heard = performance.now();
    // What was decided between the two.
    stream.onopen = () => this.#refreshSoon();
    // The browser's own way to reconnect gives up after some kinds of answer.
    stream.onerror = () => this.#lose('lost');
    for (const event of ['decision', 'failure', 'skipped']) {
      stream.addEventListener(event, () => this.#refreshSoon());
    }
    stream.addEventListener('tick', () => this.#hear());
    stream.addEventListener('status', ({ data }) => {
      /** @type {Status} */
      const status = JSON.parse(data);
      this.#listener.status(status);
      const { config, timed } = status.health;
      const rules = JSON.stringify([config.hash, timed]);
      if (rules !== this.#rules) this.#refreshSoon();
      this.#rules = rules;
      this.#hear();
    });
  }

  #hear() {
    this.#heard = performance.now();
    this.#watch();
  }

  /** Never calls live what is not. */
  #watch() {
    if (!this.#isOpen) return;
    const now = performance.now();
    const silent = now - this.#heard;
    const isBehind = this.#behind !== 0 && now - this.#behind > SLOWEST_MS + SILENCE_MS;
    if (silent > DEAD_MS) this.#lose('lost');
    else this.#listener.state(silent > SILENCE_MS || isBehind ? 'stale' : 'live');
  }

  /** @param {State} state */
  #lose(state) {
    this.#stream?.close();
    this.#listener.state(state);
    // Once, however many of its requests fail: each stream takes a place at the proxy.
    this.#again ??= setTimeout(() => {
      this.#again = undefined;
      this.#connect();
    }, AGAIN_MS);
  }

  #refreshSoon() {
    this.#behind ||= performance.now();
    const pause = Math.min(SLOWEST_MS, Math.max(REFRESH_MS, 2 * this.#took));
    const next = this.#refreshed + pause;
    this.#refresh ??= setTimeout(
      () => {
        this.#refresh = undefined;
        if (this.#isOpen) this.#load();
      },
      Math.max(0, next - performance.now()),
    );
  }

  get #isOpen() {
    return this.#stream?.readyState === EventSource.OPEN;
  }

  async #load() {
    const began = performance.now();
    this.#refreshed = began;
    try {
      const snapshot = await ask('/decisions');
      this.#listener.snapshot(snapshot);
      this.#took = performance.now() - began;
      if (this.#behind <= began) this.#behind = 0;
      return true;
    } catch (error) {
      this.#lose(error instanceof Refused ? 'refused' : 'lost');
      return false;
    }
  }
}

class Refused extends Error {}

/** @param {string} path */
async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(ANSWER_MS) });
  if (answer.status === 401) throw new Refused();
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}
