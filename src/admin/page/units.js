/** @import { ShownGroup } from '../../report/snapshot.ts' */

/**
 * Everything under one registrable domain, or one host that has none.
 * @typedef Unit
 * @property {string} key
 * @property {string | null} name the domain or host; null: what is counted without a host
 * @property {ShownGroup[]} groups the last in time first
 * @property {number} count
 * @property {string} first
 * @property {string} last
 */

/** Where a unit is shown: among the others, or in a part of its own that is closed at first.
 * @typedef {'list' | 'burst' | 'verify' | 'noise'} Place
 */

/** @typedef {'last' | 'count' | 'name'} Order */

/** @type {Record<Order, (a: Unit, b: Unit) => number>} */
const ORDERS = {
  last: (a, b) => compare(b.last, a.last),
  count: (a, b) => b.count - a.count || compare(b.last, a.last),
  name: (a, b) => compare(a.name ?? '\uffff', b.name ?? '\uffff'),
};

/**
 * Groups by registrable domain.
 * @param {readonly ShownGroup[]} groups
 * @param {Order} order
 * @returns {Unit[]}
 */
export function toUnits(groups, order) {
  /** @type {Map<string, Unit>} */
  const units = new Map();
  for (const group of groups) {
    const name = group.domain ?? group.host;
    const isAllowed = group.decision === 'allow';
    const key = JSON.stringify([name ?? group.reason ?? '', isAllowed]);
    const unit = units.get(key);
    if (unit === undefined) {
      const { count, first, last } = group;
      units.set(key, { key, name, groups: [group], count, first, last });
      continue;
    }
    unit.groups.push(group);
    unit.count += group.count;
    if (group.first < unit.first) unit.first = group.first;
    if (group.last > unit.last) unit.last = group.last;
  }
  return [...units.values()].sort(ORDERS[order]);
}

/** @param {ShownGroup} group @returns {Place} */
export function placeOf(group) {
  if (group.remedy?.verify) return 'verify';
  if (group.remedy?.noise) return 'noise';
  return group.burst ? 'burst' : 'list';
}

/**
 * Whether a group has a text in what it is about. An empty text is in all.
 * @param {ShownGroup} group
 * @param {string} text
 */
export function matches(group, text) {
  const { host, domain, reason, rule, client, source, via, port } = group;
  const all = [host, domain, reason, rule, client, source, ...via, port, `${host}:${port}`];
  const wanted = text.trim().toLowerCase();
  return all.some((each) => each !== null && String(each).toLowerCase().includes(wanted));
}

/**
 * @param {string} a
 * @param {string} b
 */
function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}
