import { arrange, create, find, formatCount, formatTime, setText } from './dom.js';
import { Row } from './row.js';
import { matches, placeOf, toUnits } from './units.js';

/** @import { Snapshot } from '../../report/snapshot.ts' */
/** @import { Order, Place, Unit } from './units.js' */

const STEP = 50;

/** @type {[Exclude<Place, 'list'>, (names: string, count: string) => string][]} */
const FOLDS = [
  [
    'burst',
    (names, count) =>
      `${names} came in a burst, none of them more often than most (${count} in all)`,
  ],
  ['noise', (names, count) => `Noise: ${names} that nothing needs (${count} in all)`],
  [
    'verify',
    // Whisper can make its requests look the same.
    (names, count) =>
      `${names} as verify tries them (${count} in all): if you did not run it then, it was whisper`,
  ],
];

/**
 * What whisper asked egress for, by registrable domain. What whisper does never moves the line that
 * somebody points at or has the focus in: what is newer waits behind a button.
 */
export class Wanted {
  #list;
  #note = find('#wanted-note');
  #newer = find('#newer');
  /** @type {Map<string, Fold>} */
  #folds = new Map();
  /** @type {Snapshot | undefined} */
  #snapshot;
  /** @type {string | undefined} */
  #filter = 'denied';
  /** @type {Order} */
  #order = 'last';
  #search = '';

  /** @param {(text: string) => void} say tells who cannot see it. */
  constructor(say) {
    this.#list = new List(find('#units'), find('#more'), say, false);
    for (const [place, describe] of FOLDS) this.#folds.set(place, new Fold(describe, say));
    find('#folds').append(...[...this.#folds.values()].map(({ element }) => element));
    this.#addControls();
    const { element } = this.#list;
    element.onpointerleave = () => this.#drawUnlessHeld();
    for (const each of [element, this.#newer]) {
      each.addEventListener('focusout', () => setTimeout(() => this.#drawUnlessHeld()));
    }
    this.#newer.onclick = () => {
      this.#draw();
      find('#wanted').focus();
    };
  }

  /** @param {Snapshot} snapshot */
  show(snapshot) {
    this.#snapshot = snapshot;
    this.#drawUnlessHeld();
  }

  #addControls() {
    const buttons = /** @type {NodeListOf<HTMLElement>} */ (
      document.querySelectorAll('[data-filter]')
    );
    for (const button of buttons) {
      button.onclick = () => {
        this.#filter = button.dataset.filter;
        for (const each of buttons) each.setAttribute('aria-pressed', String(each === button));
        this.#drawAnew();
      };
    }
    /** @type {HTMLSelectElement} */
    const sort = find('#sort');
    sort.onchange = () => {
      this.#order = /** @type {Order} */ (sort.value);
      this.#drawAnew();
    };
    /** @type {HTMLInputElement} */
    const search = find('#search');
    search.oninput = () => {
      this.#search = search.value;
      this.#drawAnew();
    };
  }

  get #isHeld() {
    const { element } = this.#list;
    // A finger leaves :hover behind.
    const isPointedAt = matchMedia('(hover: hover)').matches && element.matches(':hover');
    const isFocused = element.matches(':has(:focus-visible)');
    return isPointedAt || isFocused || this.#newer.matches(':focus-visible');
  }

  #drawUnlessHeld() {
    if (!this.#isHeld) {
      this.#draw();
      return;
    }
    const { list } = this.#places;
    const count = this.#list.update(list, this.#reload);
    this.#newer.hidden = count === 0;
    setText(this.#newer, `${formatCount(count)} newer`);
  }

  /** As at the beginning: what a choice brings in is not new. */
  #drawAnew() {
    this.#list.forget();
    this.#draw();
  }

  #draw() {
    const places = this.#places;
    this.#newer.hidden = true;
    this.#list.draw(places.list, this.#reload);
    for (const [place] of FOLDS) this.#folds.get(place)?.draw(places[place], this.#reload);
    this.#describe(places);
  }

  /** @param {Record<Place, Unit[]>} places */
  #describe({ list, ...folds }) {
    if (this.#snapshot === undefined) return;
    const since = formatTime(this.#snapshot.since, 'minute');
    const what = this.#filter === 'denied' ? 'denied' : 'asked for';
    const folded = Object.values(folds).flat();
    const names = folded.reduce((sum, { groups }) => sum + groups.length, 0);
    const below = names === 0 ? '' : ` ${formatNames(names)} below, apart from these.`;
    const found = `${formatCount(list.length)} found.`;
    const nothing = `Nothing has been ${what} since ${since}.`;
    const some = `What was ${what} since ${since}, by domain. A line to copy goes into whisper-proxy.env.`;
    const text = list.length === 0 && names === 0 ? nothing : `${some}${below}`;
    setText(this.#note, this.#search === '' ? text : found);
  }

  get #reload() {
    return this.#snapshot?.reload ?? '';
  }

  /** @returns {Record<Place, Unit[]>} */
  get #places() {
    const groups = (this.#snapshot?.groups ?? []).filter(
      (group) =>
        group.event === 'egress' &&
        (this.#filter === 'all' || group.decision !== 'allow') &&
        matches(group, this.#search),
    );
    /** @param {Place} place */
    const at = (place) =>
      toUnits(
        // Whoever searches has said what it is about.
        groups.filter((group) => (this.#search === '' ? placeOf(group) : 'list') === place),
        this.#order,
      );
    return { list: at('list'), burst: at('burst'), noise: at('noise'), verify: at('verify') };
  }
}

/** Rows, some of them at first and all on demand. */
class List {
  element;
  #more;
  #say;
  #isBrief;
  /** @type {Map<string, Row>} */
  #rows = new Map();
  #most = STEP;
  /** @type {() => void} */
  #again = () => undefined;

  /**
   * @param {HTMLElement} element
   * @param {HTMLElement} more
   * @param {(text: string) => void} say
   * @param {boolean} isBrief
   */
  constructor(element, more, say, isBrief) {
    this.#isBrief = isBrief;
    this.element = element;
    this.#more = more;
    this.#say = say;
    const [step, all] = /** @type {HTMLCollectionOf<HTMLElement>} */ (more.children);
    if (step) step.onclick = () => this.#show(this.#most + STEP);
    if (all) all.onclick = () => this.#show(Number.POSITIVE_INFINITY);
  }

  forget() {
    this.#rows.clear();
    this.#most = STEP;
  }

  /**
   * Updates the rows that are there. @returns how many are not.
   * @param {readonly Unit[]} units
   * @param {string} reload
   */
  update(units, reload) {
    const shown = units.slice(0, this.#most);
    for (const unit of shown) this.#rows.get(unit.key)?.update(unit, reload);
    return shown.filter(({ key }) => !this.#rows.has(key)).length;
  }

  /**
   * @param {readonly Unit[]} units
   * @param {string} reload
   */
  draw(units, reload) {
    this.#again = () => this.draw(units, reload);
    const isFirst = this.#rows.size === 0;
    /** @type {Map<string, Row>} */
    const rows = new Map();
    for (const unit of units.slice(0, this.#most)) {
      const row = this.#rows.get(unit.key) ?? new Row(this.#say, this.#isBrief);
      row.update(unit, reload);
      if (!isFirst && !this.#rows.has(unit.key)) row.highlight();
      rows.set(unit.key, row);
    }
    this.#rows = rows;
    arrange(
      this.element,
      [...rows.values()].map(({ element }) => element),
    );
    const left = units.length - rows.size;
    this.#more.hidden = left === 0;
    const [step, all] = this.#more.children;
    if (step) setText(step, `Show ${formatCount(Math.min(left, STEP))} more`);
    if (all) setText(all, `Show all ${formatCount(units.length)}`);
  }

  /** @param {number} most */
  #show(most) {
    const before = this.#rows.size;
    this.#most = most;
    this.#again();
    const [, ...later] = [...this.element.children].slice(before - 1);
    const [next] = later;
    // Where the button was, that has gone perhaps.
    if (next instanceof HTMLElement) {
      next.tabIndex = -1;
      next.focus({ preventScroll: true });
    }
  }
}

/** What would bury the rest, closed at first. */
class Fold {
  element = create('details', 'fold');
  #summary = create('summary');
  #list;
  #describe;
  /** @type {() => void} */
  #draw = () => undefined;

  /**
   * @param {(names: string, count: string) => string} describe
   * @param {(text: string) => void} say
   */
  constructor(describe, say) {
    this.#describe = describe;
    const units = create('ul', 'units');
    const buttons = [create('button'), create('button')];
    for (const button of buttons) button.type = 'button';
    const more = create('p', 'bar more', ...buttons);
    this.#list = new List(units, more, say, true);
    this.element.append(this.#summary, units, more);
    this.element.hidden = true;
    this.element.ontoggle = () => this.#draw();
  }

  /**
   * @param {readonly Unit[]} units
   * @param {string} reload
   */
  draw(units, reload) {
    this.element.hidden = units.length === 0;
    const count = units.reduce((sum, unit) => sum + unit.count, 0);
    const names = units.reduce((sum, { groups }) => sum + groups.length, 0);
    setText(this.#summary, this.#describe(formatNames(names), `${formatCount(count)}×`));
    this.#draw = () => {
      if (this.element.open) this.#list.draw(units, reload);
    };
    this.#draw();
  }
}

/** @param {number} count */
function formatNames(count) {
  return count === 1 ? 'One name' : `${formatCount(count)} names`;
}
