import { Copy } from './copy.js';
import { create, formatCount, formatTime, setText, setTime } from './dom.js';

/** @import { ShownGroup } from '../../report/snapshot.ts' */
/** @import { Unit } from './units.js' */

const DECISIONS = { deny: 'denied', would_deny: 'would deny', allow: 'allowed' };
const FEW = 3;

/** What one unit looks like; the element stays while its counts go up. */
export class Row {
  element = create('li', 'unit');
  #target = create('bdi', 'target');
  #source = create('span', 'tag source');
  #decision = create('span', 'decision');
  #count = create('span', 'count');
  #last = create('time', 'last');
  #why = create('p', 'why');
  #names = create('ul', 'names');
  #more = create('button', 'quiet');
  #todo = create('div', 'todo');
  #counted = 0;
  #showsAll = false;
  #drawn = '';
  /** @type {Map<string, Copy>} */
  #copies = new Map();
  #say;
  #isBrief;
  /** @type {Unit | undefined} */
  #unit;
  #reload = '';

  /**
   * @param {(text: string) => void} say tells who cannot see it.
   * @param {boolean} isBrief it shows no more than the line to copy
   */
  constructor(say, isBrief) {
    this.#say = say;
    this.#isBrief = isBrief;
    this.element.classList.toggle('brief', isBrief);
    this.#more.type = 'button';
    this.#more.onclick = () => {
      this.#showsAll = !this.#showsAll;
      if (this.#unit) this.update(this.#unit, this.#reload);
    };
    const name = create('span', 'name', this.#target, ' ', this.#source);
    const head = [this.#decision, name, this.#count, this.#last];
    this.element.append(...head, this.#why, this.#names, this.#more, this.#todo);
  }

  /**
   * @param {Unit} unit
   * @param {string} reload the command that puts a changed env file into force
   */
  update(unit, reload) {
    this.#unit = unit;
    this.#reload = reload;
    const { groups, name, count, last } = unit;
    const [newest] = groups;
    const only = groups.length === 1 ? newest : undefined;
    const decision = groups.some((group) => group.decision === 'deny')
      ? 'deny'
      : (newest?.decision ?? 'deny');
    this.element.dataset.decision = decision;
    setText(this.#decision, DECISIONS[decision]);
    setText(this.#target, only ? formatTarget(only) : (name ?? 'no single host'));
    const source = groups.find((group) => group.source !== null)?.source ?? null;
    this.#source.hidden = source === null;
    setText(this.#source, source ?? '');
    setText(this.#count, `${formatCount(count)}×`);
    setTime(this.#last, last);
    this.#why.hidden = this.#isBrief;
    setText(this.#why, formatWhy(unit));
    this.#showNames(groups);
    this.#showTodo(groups, reload);
    if (this.#counted !== 0 && count !== this.#counted) this.highlight();
    this.#counted = count;
  }

  highlight() {
    this.element.classList.add('fresh');
    this.element.onanimationend = () => this.element.classList.remove('fresh');
  }

  /** @param {readonly ShownGroup[]} groups */
  #showNames(groups) {
    const shown = groups.length === 1 ? [] : this.#showsAll ? groups : groups.slice(0, FEW);
    this.#names.hidden = shown.length === 0;
    this.#names.replaceChildren(...shown.map(createName));
    this.#more.hidden = groups.length <= FEW;
    const all = `Show all ${formatCount(groups.length)} names`;
    setText(this.#more, this.#showsAll ? 'Show fewer names' : all);
  }

  /**
   * @param {readonly ShownGroup[]} groups
   * @param {string} reload
   */
  #showTodo(groups, reload) {
    /** @type {Map<string, { limit: string | null, command: string | null }>} */
    const lines = new Map();
    for (const { remedy, command } of groups) {
      if (remedy !== null && remedy.line !== null) {
        lines.set(remedy.line, { limit: remedy.limit, command });
      }
    }
    // Nobody wants any three lines out of hundreds.
    const shown = lines.size <= FEW || this.#showsAll ? [...lines] : [];
    /** @type {[label: string, text: string][]} */
    const steps = [];
    for (const [index, [line, { limit }]] of shown.entries()) {
      steps.push([['to allow it', 'or'][index] ?? '', line]);
      if (limit !== null) steps.push(['with', limit]);
    }
    if (!this.#isBrief && shown.length > 0) {
      steps.push(['then', reload]);
      for (const [index, [, { command }]] of shown.entries()) {
        if (command !== null) steps.push([['or for 30 min', 'or'][index] ?? '', command]);
      }
    }
    const wanted = JSON.stringify(steps);
    if (wanted === this.#drawn) return;
    this.#drawn = wanted;
    this.#todo.hidden = steps.length === 0;
    const before = this.#copies;
    this.#copies = new Map();
    this.#todo.replaceChildren(
      ...steps.map(([label, text]) => this.#createStep(label, text, before)),
    );
  }

  /**
   * @param {string} label
   * @param {string} text
   * @param {ReadonlyMap<string, Copy>} before those that were shown: one may still say that it was copied.
   */
  #createStep(label, text, before) {
    const copy = before.get(text) ?? new Copy(this.#say);
    this.#copies.set(text, copy);
    copy.set(text);
    return create('div', 'do', create('span', 'label', label), copy.element);
  }
}

/** @param {ShownGroup} group */
function createName(group) {
  const { reason, rule, count, last, via } = group;
  const about = [reason ?? rule, via.join(', ')].filter((part) => part !== null && part !== '');
  return create(
    'li',
    '',
    create('bdi', 'target', formatTarget(group)),
    create('span', 'note', about.join(' · ')),
    create('span', 'count', `${formatCount(count)}×`),
    create('span', 'last', formatTime(last)),
  );
}

/** @param {ShownGroup} group */
export function formatTarget({ host, port }) {
  if (host === null) return 'no single host';
  if (port === null) return host;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** @param {Unit} unit */
function formatWhy({ groups, count, first }) {
  const reasons = groups.map(({ reason, rule, remedy }) => {
    if (reason === null) return rule === null ? null : `rule ${rule}`;
    const why = remedy === null ? reason : `${reason}: ${remedy.text}`;
    return rule === null ? why : `${why} · rule ${rule}`;
  });
  const different = [...new Set(reasons)].filter((part) => part !== null);
  const [only] = groups;
  const ways = groups.length === 1 && only !== undefined ? [only.via.join(', ')] : [];
  const shown = different.slice(0, FEW);
  const more = different.length - shown.length;
  return [
    ...shown,
    ...(more > 0 ? [`and ${more} more reasons`] : []),
    ...ways.filter((way) => way !== ''),
    ...(count === 1 ? [] : [`first ${formatTime(first)}`]),
  ].join(' · ');
}
