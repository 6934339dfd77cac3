import { create, find, formatCount, formatTime, setText, setTime } from './dom.js';

/** @import { RuleUse, Snapshot } from '../../report/snapshot.ts' */

/** @param {Snapshot} snapshot */
export function showRules({ rules, since }) {
  const table = find('#rules table');
  const unused = rules.filter(({ used }) => used === 0).length;
  table.hidden = rules.length === 0;
  setText(find('#rules-note'), describeUse(rules.length, unused, formatTime(since, 'minute')));
  find('tbody', table).replaceChildren(...rules.map(createRow));
}

/**
 * @param {number} all
 * @param {number} unused
 * @param {string} since
 */
function describeUse(all, unused, since) {
  if (all === 0) return 'There is no rule: everything is denied.';
  if (unused === 0) return `Each was used since ${since}.`;
  return `${formatCount(unused)} of ${formatCount(all)} not used since ${since}: a rule that stays unused can go.`;
}

/** @param {RuleUse} rule */
function createRow({ list, label, used, last, until }) {
  const name = create('th', '', create('bdi', 'target', label));
  name.scope = 'row';
  if (list === 'deny') name.append(' ', create('span', 'tag deny', 'deny'));
  if (used === 0) name.append(' ', create('span', 'tag', 'unused'));
  if (until !== null) {
    name.append(' ', create('span', 'tag timed', `until ${formatTime(until, 'minute')}`));
  }
  const time = create('time');
  if (last !== null) setTime(time, last);
  return create('tr', '', name, create('td', '', formatCount(used)), create('td', '', time));
}
