import { create, describe, find, formatTime, setText } from './dom.js';
import { Live } from './live.js';
import { drawPlot } from './plot.js';
import { showRules } from './rules.js';
import { Service } from './service.js';
import { Wanted } from './wanted.js';

/** @import { Health } from '../health.ts' */
/** @import { Snapshot } from '../../report/snapshot.ts' */
/** @import { State } from './live.js' */

/** Whether the page shows what is, or what was. */
class Connection {
  #element = find('#connection');
  /** When the page showed last what was. */
  #live = '';

  /** @param {State} state */
  show(state) {
    if (state === 'live') this.#live = new Date().toISOString();
    const before = this.#element.dataset.state;
    this.#element.dataset.state = state;
    document.body.dataset.fresh = String(state === 'live');
    if (state === before) return;
    if (state === 'refused') {
      const again = create('button', '', 'Log in again');
      again.type = 'button';
      again.onclick = () => location.reload();
      this.#element.replaceChildren('The proxy wants its token. ', again);
    } else setText(this.#element, this.#describe(state));
  }

  /** @param {State} state */
  #describe(state) {
    if (state === 'live') return 'live';
    const since = this.#live === '' ? '' : ` What is shown is of ${formatTime(this.#live)}.`;
    if (state === 'stale') return `No news from the proxy.${since}`;
    return `Disconnected.${since} Trying again…`;
  }
}

/** @param {Snapshot} snapshot */
function showSnapshot(snapshot) {
  drawPlot(snapshot.minutes);
  wanted.show(snapshot);
  service.showRefused(snapshot.groups);
  showRules(snapshot);
}

/** @param {Health} health */
function showHealth({ mode, listeners, config, warnings, version }) {
  const deniesAll = config.denies_all;
  const shown = find('#mode');
  shown.dataset.mode = deniesAll ? 'closed' : mode;
  setText(shown, deniesAll ? 'everything is denied' : mode);
  setText(find('#version'), version);
  setText(find('#config'), config.hash);
  setText(find('#loaded'), `read ${formatTime(config.loaded, 'minute')}`);
  describe(find('#listeners'), Object.entries(listeners));
  const what = deniesAll ? 'the configuration is invalid' : 'not in force, since it is invalid';
  const faults = config.faults.map((fault) => `${what}: ${fault}`);
  const all = [...faults, ...warnings];
  const list = find('#warnings');
  const texts = [...list.children].map(({ textContent }) => textContent);
  if (all.length === texts.length && all.every((text, index) => text === texts[index])) return;
  list.hidden = all.length === 0;
  list.replaceChildren(...all.map((warning) => create('li', 'warning', warning)));
}

/** @param {string} text */
const say = (text) => setText(find('#said'), text);
const connection = new Connection();
const service = new Service();
const wanted = new Wanted(say);
new Live({
  snapshot: showSnapshot,
  status: ({ health, ingress }) => {
    showHealth(health);
    service.show(health, ingress);
  },
  state: (state) => {
    connection.show(state);
    service.showState(state);
  },
}).start();
