import { create, find, formatCount, formatTime, setText, setTime } from './dom.js';

/** @import { RuleUse, Snapshot } from '../../report/snapshot.ts' */

const DAY_MS = 86_400_000;
/** A rule for a download once a week is not unused after a day. */
const LONG_DAYS = 7;

/** @param {Snapshot} snapshot */
export function showRules({ rules }) {
  const table = find('#rules table');
  table.hidden = rules.length === 0;
  setText(find('#rules-note'), describeUse(rules));
  find('tbody', table).replaceChildren(...rules.map(createRow));
}

/** @param {readonly RuleUse[]} rules */
function describeUse(rules) {
  if (rules.length === 0) return 'There is no rule: everything is denied.';
  const idle = rules.filter((rule) => idleDays(rule) >= LONG_DAYS).length;
  if (idle === 0) return '';
  const which = idle === 1 ? 'One allow rule has' : `${formatCount(idle)} allow rules have`;
  return `${which} not been used for a week and more, and can probably go.`;
}

/**
 * For how many days an allow rule has been in force without being used. The proxy knows since its start.
 * @param {RuleUse} rule
 */
function idleDays({ list, used, since, until }) {
  if (list === 'deny' || used > 0 || until !== null) return 0;
  return Math.floor((Date.now() - Date.parse(since)) / DAY_MS);
}

/** @param {RuleUse} rule */
function createRow(rule) {
  const { list, label, used, last, until, since } = rule;
  const name = create('th', '', create('bdi', 'target', label));
  name.scope = 'row';
  if (list === 'deny') name.append(' ', create('span', 'tag deny', 'deny'));
  if (until !== null) {
    name.append(' ', create('span', 'tag timed', `until ${formatTime(until, 'minute')}`));
  }
  const days = idleDays(rule);
  if (days >= LONG_DAYS) name.append(' ', create('span', 'tag', `unused for ${days} days`));
  const time = create('time');
  if (last !== null) setTime(time, last);
  else setText(time, `in force since ${formatTime(since, 'minute')}`);
  time.classList.toggle('note', last === null);
  return create('tr', '', name, create('td', '', formatCount(used)), create('td', '', time));
}
