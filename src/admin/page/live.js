/** @import { Health } from '../health.ts' */
/** @import { Snapshot } from '../../report/snapshot.ts' */

/** @typedef {'live' | 'lost' | 'refused'} State */
/**
 * @typedef Listener
 * @property {(snapshot: Snapshot) => void} snapshot
 * @property {(health: Health) => void} health
 * @property {(state: State) => void} state
 */

const AGAIN_MS = 2_000;
const ANSWER_MS = 8_000;
/** However much happens, the page asks and draws once a second. */
const REFRESH_MS = 1_000;
/** The hour moves on, and whisper comes and goes, without a decision. */
const POLL_MS = 30_000;

/**
 * Follows the proxy. A decision in the stream says that there is something new; what it is comes
 * from /decisions, where the proxy has counted it. Reconnects by itself.
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

  /** @param {Listener} listener */
  constructor(listener) {
    this.#listener = listener;
  }

  start() {
    this.#connect();
    setInterval(() => this.#poll(), POLL_MS);
  }

  async #connect() {
    if (!(await this.#load('with health'))) return;
    this.#stream?.close();
    const stream = new EventSource('/events');
    this.#stream = stream;
    stream.onopen = () => {
      this.#listener.state('live');
      this.#refreshSoon();
    };
    // The browser's own way to reconnect gives up after some kinds of answer.
    stream.onerror = () => this.#lose('lost');
    for (const event of ['decision', 'skipped']) {
      stream.addEventListener(event, () => this.#refreshSoon());
    }
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
    const wait = Math.max(0, this.#refreshed + REFRESH_MS - performance.now());
    this.#refresh ??= setTimeout(() => {
      this.#refresh = undefined;
      if (this.#isOpen) this.#load();
    }, wait);
  }

  #poll() {
    if (this.#isOpen) this.#load('with health');
  }

  get #isOpen() {
    return this.#stream?.readyState === EventSource.OPEN;
  }

  /** @param {'with health'} [what] */
  async #load(what) {
    this.#refreshed = performance.now();
    try {
      const [snapshot, health] = await Promise.all([
        ask('/decisions'),
        what === undefined ? null : ask('/healthz'),
      ]);
      this.#listener.snapshot(snapshot);
      if (health !== null) this.#listener.health(health);
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
