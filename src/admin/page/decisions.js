import { arrange, find, formatCount, formatTime, setText } from './dom.js';
import { Row } from './row.js';

/** @import { DecisionGroup, Snapshot } from '../../report/snapshot.ts' */

const MOST = 200;

/**
 * The groups of decisions, the last in time first. What whisper does never moves the line that
 * somebody points at or has the focus in: what is newer waits behind a button.
 */
export class Decisions {
  #list = find('#groups');
  #note = find('#decisions-note');
  #newer = find('#newer');
  /** @type {Map<string, Row>} */
  #rows = new Map();
  /** @type {Snapshot | undefined} */
  #snapshot;
  /** @type {string | undefined} */
  #filter = 'denied';
  #say;

  /** @param {(text: string) => void} say tells who cannot see it. */
  constructor(say) {
    this.#say = say;
    const buttons = /** @type {NodeListOf<HTMLElement>} */ (
      document.querySelectorAll('[data-filter]')
    );
    for (const button of buttons) {
      button.onclick = () => {
        this.#filter = button.dataset.filter;
        // As at the beginning: what the filter brings in is not new.
        this.#rows.clear();
        for (const each of buttons) each.setAttribute('aria-pressed', String(each === button));
        this.#draw();
      };
    }
    this.#newer.onclick = () => {
      this.#draw();
      find('#decisions').focus();
    };
    this.#list.onpointerleave = () => this.#drawUnlessHeld();
    for (const element of [this.#list, this.#newer]) {
      element.addEventListener('focusout', () => setTimeout(() => this.#drawUnlessHeld()));
    }
  }

  /** @param {Snapshot} snapshot */
  show(snapshot) {
    this.#snapshot = snapshot;
    this.#drawUnlessHeld();
  }

  get #isHeld() {
    // A finger leaves :hover behind.
    const isPointedAt = matchMedia('(hover: hover)').matches && this.#list.matches(':hover');
    const isFocused = this.#list.matches(':has(:focus-visible)');
    return isPointedAt || isFocused || this.#newer.matches(':focus-visible');
  }

  #drawUnlessHeld() {
    if (!this.#isHeld) {
      this.#draw();
      return;
    }
    const shown = this.#shown;
    for (const [key, group] of shown) this.#rows.get(key)?.update(group);
    const count = shown.filter(([key]) => !this.#rows.has(key)).length;
    this.#newer.hidden = count === 0;
    setText(this.#newer, `${formatCount(count)} newer`);
  }

  #draw() {
    const shown = this.#shown;
    const isFirst = this.#rows.size === 0;
    /** @type {Map<string, Row>} */
    const rows = new Map();
    for (const [key, group] of shown) {
      const row = this.#rows.get(key) ?? new Row(this.#say);
      row.update(group);
      if (!isFirst && !this.#rows.has(key)) row.highlight();
      rows.set(key, row);
    }
    this.#rows = rows;
    this.#newer.hidden = true;
    arrange(
      this.#list,
      [...rows.values()].map(({ element }) => element),
    );
    this.#describe();
  }

  #describe() {
    if (this.#snapshot === undefined) return;
    const since = formatTime(this.#snapshot.since, 'minute');
    const more = this.#matching.length - MOST;
    const what = this.#filter === 'denied' ? 'denied' : 'asked for';
    const text =
      this.#matching.length === 0
        ? `Nothing has been ${what} since ${since}.`
        : `Since ${since}, the newest first. A line to copy goes into the env file.`;
    setText(this.#note, more > 0 ? `${text} ${formatCount(more)} older ones are not shown.` : text);
  }

  get #matching() {
    const groups = this.#snapshot?.groups ?? [];
    return this.#filter === 'all' ? groups : groups.filter(({ decision }) => decision !== 'allow');
  }

  /** @returns {[key: string, group: DecisionGroup][]} */
  get #shown() {
    return this.#matching.slice(0, MOST).map((group) => [keyOf(group), group]);
  }
}

/** @param {DecisionGroup} group */
function keyOf({ event, decision, reason, rule, host, port }) {
  return JSON.stringify([event, decision, reason, rule, host, port]);
}
