import { create, formatCount, setText, setTime } from './dom.js';

/** @import { DecisionGroup } from '../../report/snapshot.ts' */

const DECISIONS = { deny: 'denied', would_deny: 'would deny', allow: 'allowed' };
const COPIED_MS = 2_000;

/** What one group of decisions looks like; the element stays while its counts go up. */
export class Row {
  element = create('li', 'group');
  #decision = create('span', 'decision');
  #target = create('bdi', 'target');
  #count = create('span', 'count');
  #last = create('time', 'last');
  #why = create('span', 'why');
  #first = create('time');
  #since = create('span', 'since', ' · first ', this.#first);
  #line = create('code', 'line');
  #copy = create('button', 'copy', 'Copy');
  #remedy = create('div', 'remedy', this.#line, this.#copy);
  #counted = 0;

  /** @param {(text: string) => void} say tells who cannot see it. */
  constructor(say) {
    this.#copy.type = 'button';
    this.#copy.onclick = () => this.#copyLine(say);
    const about = create('p', 'about', this.#why, this.#since);
    const head = [this.#decision, this.#target, this.#count, this.#last];
    this.element.append(...head, about, this.#remedy);
  }

  /** @param {DecisionGroup} group */
  update(group) {
    const { decision, count } = group;
    const line = group.remedy?.line ?? null;
    this.element.dataset.decision = decision;
    this.element.dataset.noise = String(group.remedy?.noise ?? false);
    setText(this.#decision, DECISIONS[decision]);
    setText(this.#target, formatTarget(group));
    setText(this.#why, formatWhy(group));
    setText(this.#count, `${formatCount(count)}×`);
    setTime(this.#last, group.last);
    setTime(this.#first, group.first);
    this.#since.hidden = count === 1;
    this.#remedy.hidden = line === null;
    setText(this.#line, line ?? '');
    this.#copy.setAttribute('aria-label', `Copy ${line}`);
    if (this.#counted !== 0 && count !== this.#counted) this.highlight();
    this.#counted = count;
  }

  highlight() {
    this.element.classList.add('fresh');
    this.element.onanimationend = () => this.element.classList.remove('fresh');
  }

  /** @param {(text: string) => void} say */
  async #copyLine(say) {
    try {
      // Beyond localhost and without TLS there is no clipboard.
      await navigator.clipboard.writeText(this.#line.textContent ?? '');
      this.#answer('Copied');
      say('Copied');
    } catch {
      getSelection()?.selectAllChildren(this.#line);
      this.#answer('Selected');
      say('The line is selected; copy it with the keyboard');
    }
  }

  /** @param {string} text */
  #answer(text) {
    setText(this.#copy, text);
    setTimeout(() => setText(this.#copy, 'Copy'), COPIED_MS);
  }
}

/** @param {DecisionGroup} group */
function formatTarget({ host, port }) {
  if (host === null) return 'no single host';
  if (port === null) return host;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** @param {DecisionGroup} group */
function formatWhy({ event, reason, rule, via, remedy }) {
  const parts = [
    reason === null || remedy === null ? reason : `${reason}: ${remedy.text}`,
    rule === null ? null : `rule ${rule}`,
    via.join(', '),
    event === 'ingress' ? 'at ingress' : null,
  ];
  return parts.filter((part) => part !== null).join(' · ');
}
