import { Decisions } from './decisions.js';
import { create, describe, find, formatTime, setText } from './dom.js';
import { Live } from './live.js';
import { drawPlot } from './plot.js';
import { showRules } from './rules.js';

/** @import { Health } from '../health.ts' */
/** @import { Snapshot } from '../../report/snapshot.ts' */
/** @import { State } from './live.js' */

/** Whether the page shows what is, or what was. */
class Connection {
  #element = find('#connection');
  /** @type {string | undefined} */
  #lostAt;

  /** @param {State} state */
  show(state) {
    this.#element.dataset.state = state;
    if (state === 'live') this.#lostAt = undefined;
    else this.#lostAt ??= new Date().toISOString();
    setText(this.#element, this.#describe(state));
  }

  /** @param {State} state */
  #describe(state) {
    if (state === 'refused') {
      return 'The proxy wants its token: open this page once with /?token=… at its end.';
    }
    return this.#lostAt === undefined
      ? 'live'
      : `Disconnected since ${formatTime(this.#lostAt)}. Trying again…`;
  }
}

/** @param {Snapshot} snapshot */
function showSnapshot(snapshot) {
  drawPlot(snapshot.minutes);
  decisions.show(snapshot);
  showRules(snapshot);
  setText(find('#config'), snapshot.config);
}

/** @param {Health} health */
function showHealth({ mode, upstream, listeners, config, warnings }) {
  const shown = find('#mode');
  shown.dataset.mode = mode;
  setText(shown, mode);
  const state =
    upstream.error === undefined ? upstream.state : `${upstream.state}, ${upstream.error}`;
  setText(find('#whisper'), `${state} (${upstream.address})`);
  describe(find('#listeners'), Object.entries(listeners));
  const list = find('#warnings');
  const faults = config.faults.map((fault) => `not in force, since it has a fault: ${fault}`);
  const all = [...faults, ...warnings];
  list.hidden = all.length === 0;
  list.replaceChildren(...all.map((warning) => create('li', 'warning', warning)));
}

const connection = new Connection();
const decisions = new Decisions((text) => setText(find('#said'), text));
new Live({
  snapshot: showSnapshot,
  health: showHealth,
  state: (state) => connection.show(state),
}).start();
