import { create, find, formatCount, formatTime } from './dom.js';

/** @import { Minute } from '../../report/snapshot.ts' */
/** @typedef {'allow' | 'deny'} Kind */

const SVG = 'http://www.w3.org/2000/svg';
const WORDS = { allow: 'let through', deny: 'denied' };
const BAR = 10;
const GAP = 2;
/** Of each of the two halves. */
const HEIGHT = 40;
/** One among thousands is still seen. */
const LEAST = 3;

/**
 * Draws the minutes on one scale: what was denied above the line, what was let through below it. Under
 * it, the same as a table, for who cannot see it.
 * @param {readonly Minute[]} minutes
 */
export function drawPlot(minutes) {
  const most = Math.max(...minutes.flatMap(({ allow, deny }) => [allow, deny]), 0);
  const axis = create('div', 'axis', ...ticks(minutes));
  axis.ariaHidden = 'true';
  const captions = [createCaption(minutes, 'deny'), createCaption(minutes, 'allow')];
  const scale = create(
    'p',
    'scale',
    most === 0 ? '' : `tallest bar: ${formatCount(most)} a minute`,
  );
  const parts = [captions[0] ?? '', createBars(minutes, most), captions[1] ?? '', axis, scale];
  find('#plot').replaceChildren(...parts);
  const busy = minutes.filter(({ allow, deny }) => allow + deny > 0).reverse();
  find('#hour tbody').replaceChildren(...busy.map(createRow));
}

/**
 * @param {readonly Minute[]} minutes
 * @param {Kind} kind
 */
function createCaption(minutes, kind) {
  const caption = create('p', `caption ${kind}`, create('strong', '', describe(minutes, kind)));
  caption.ariaHidden = 'true';
  return caption;
}

/**
 * @param {readonly Minute[]} minutes
 * @param {Kind} kind
 */
function describe(minutes, kind) {
  const total = minutes.reduce((sum, minute) => sum + minute[kind], 0);
  return `${formatCount(total)} ${WORDS[kind]}`;
}

/**
 * @param {readonly Minute[]} minutes
 * @param {number} most
 * @returns {any}
 */
function createBars(minutes, most) {
  const peak = most === 0 ? '' : `, at most ${formatCount(most)} a minute`;
  const width = minutes.length * BAR;
  const svg = createSvg('svg', {
    viewBox: `0 0 ${width} ${2 * HEIGHT + 1}`,
    preserveAspectRatio: 'none',
    role: 'img',
    'aria-label': `${describe(minutes, 'deny')} and ${describe(minutes, 'allow')} in the last hour${peak}`,
  });
  svg.append(createSvg('rect', { class: 'zero', x: 0, y: HEIGHT, width, height: 1 }));
  minutes.forEach((minute, index) => {
    for (const kind of /** @type {Kind[]} */ (['deny', 'allow'])) {
      const value = minute[kind];
      if (value === 0) continue;
      const height = Math.max(LEAST, (value / most) * HEIGHT);
      const y = kind === 'deny' ? HEIGHT - height : HEIGHT + 1;
      const place = { class: kind, x: index * BAR + GAP / 2, width: BAR - GAP, y, height };
      const title = createSvg('title', {});
      title.textContent = `${formatTime(minute.at, 'minute')}: ${formatCount(value)} ${WORDS[kind]}`;
      svg.append(createSvg('rect', place, title));
    }
  });
  return svg;
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
