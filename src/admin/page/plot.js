import { create, find, formatCount, formatTime } from './dom.js';

/** @import { Minute } from '../../report/snapshot.ts' */
/** @typedef {'allow' | 'deny'} Kind */

const SVG = 'http://www.w3.org/2000/svg';
const WORDS = { allow: 'let through', deny: 'denied' };
const BAR = 10;
const GAP = 2;
const HEIGHT = 40;
/** One among thousands is still seen. */
const LEAST = 3;

/**
 * Draws the minutes in two lanes, each with its own scale: a single denial beside thousands of
 * allowed requests is what one looks for. Below, the same as a table, for who cannot see it.
 * @param {readonly Minute[]} minutes
 */
export function drawPlot(minutes) {
  const axis = create('div', 'axis', ...ticks(minutes));
  axis.ariaHidden = 'true';
  find('#lanes').replaceChildren(createLane(minutes, 'deny'), createLane(minutes, 'allow'), axis);
  const busy = minutes.filter(({ allow, deny }) => allow + deny > 0).reverse();
  find('#hour tbody').replaceChildren(...busy.map(createRow));
}

/**
 * @param {readonly Minute[]} minutes
 * @param {Kind} kind
 */
function createLane(minutes, kind) {
  const most = Math.max(...minutes.map((minute) => minute[kind]), 0);
  const total = minutes.reduce((sum, minute) => sum + minute[kind], 0);
  const text = `${formatCount(total)} ${WORDS[kind]}`;
  const peak = total === 0 ? '' : `at most ${formatCount(most)} a minute`;
  const svg = createSvg('svg', {
    viewBox: `0 0 ${minutes.length * BAR} ${HEIGHT}`,
    preserveAspectRatio: 'none',
    role: 'img',
    'aria-label': `${text} in the last hour${peak === '' ? '' : `, ${peak}`}`,
  });
  minutes.forEach((minute, index) => {
    const value = minute[kind];
    if (value === 0) return;
    const height = Math.max(LEAST, (value / most) * HEIGHT);
    const place = { x: index * BAR + GAP / 2, width: BAR - GAP, y: HEIGHT - height, height };
    const title = createSvg('title', {});
    title.textContent = `${formatTime(minute.at, 'minute')}: ${formatCount(value)} ${WORDS[kind]}`;
    svg.append(createSvg('rect', place, title));
  });
  const caption = create('p', 'caption', create('strong', '', text), ` ${peak}`);
  caption.ariaHidden = 'true';
  return create('div', `lane ${kind}`, caption, /** @type {any} */ (svg));
}

/** @param {readonly Minute[]} minutes */
function ticks(minutes) {
  const quarters = minutes.filter((_minute, index) => index % 15 === 0);
  return [
    ...quarters.map(({ at }) => create('span', '', formatTime(at, 'minute'))),
    create('span', '', 'now'),
  ];
}

/** @param {Minute} minute */
function createRow({ at, deny, allow }) {
  const name = create('th', '', formatTime(at, 'minute'));
  name.scope = 'row';
  const counts = [deny, allow].map((count) => create('td', '', formatCount(count)));
  return create('tr', '', name, ...counts);
}

/**
 * @param {string} name
 * @param {Record<string, string | number>} attributes
 * @param {Element[]} children
 */
function createSvg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}
