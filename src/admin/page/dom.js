const NEAR_MS = 12 * 3_600_000;

/**
 * Makes an element. What whisper controls comes in here as text, and stays text.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} className
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function create(tag, className = '', ...children) {
  const element = document.createElement(tag);
  if (className !== '') element.className = className;
  element.append(...children);
  return element;
}

/**
 * The element that a selector finds, which is there.
 * @template {HTMLElement} [Kind=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} within
 * @returns {Kind}
 */
export function find(selector, within = document) {
  const element = within.querySelector(selector);
  if (element === null) throw new Error(`the page has no ${selector}`);
  return /** @type {Kind} */ (element);
}

/**
 * Sets a text where it differs: what stays the same keeps its selection.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Brings children into an order, and takes out those that are not in it. None is moved without
 * need, and focus stays where it was.
 * @param {Element} parent
 * @param {readonly Element[]} wanted
 */
export function arrange(parent, wanted) {
  const focused = document.activeElement;
  const kept = new Set(wanted);
  for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const child of wanted) {
    if (child === next) next = child.nextElementSibling;
    else parent.insertBefore(child, next);
  }
  const isLost = focused !== document.activeElement && parent.contains(focused);
  if (isLost && focused instanceof HTMLElement) focused.focus({ preventScroll: true });
}

/**
 * Sets the terms and descriptions of a list.
 * @param {Element} list
 * @param {readonly (readonly [term: string, description: string])[]} pairs
 */
export function describe(list, pairs) {
  const items = pairs.flatMap(([term, description]) => [
    create('dt', '', term),
    create('dd', '', description),
  ]);
  list.replaceChildren(...items);
}

/**
 * Shows a time in a time element.
 * @param {HTMLTimeElement} element
 * @param {string} iso
 */
export function setTime(element, iso) {
  element.dateTime = iso;
  element.title = new Date(iso).toLocaleString();
  setText(element, formatTime(iso));
}

/**
 * A time as the clock on the wall has it, with its day where that could be mistaken.
 * @param {string} iso
 * @param {'second' | 'minute'} to
 */
export function formatTime(iso, to = 'second') {
  const date = new Date(iso);
  const isNear = Math.abs(Date.now() - date.getTime()) < NEAR_MS;
  const time = date.toLocaleTimeString(undefined, {
    hour: '2-digit',
    minute: '2-digit',
    ...(to === 'second' && isNear ? { second: '2-digit' } : {}),
    hourCycle: 'h23',
  });
  if (isNear) return time;
  return `${date.toLocaleDateString(undefined, { day: 'numeric', month: 'short' })}, ${time}`;
}

/** @param {number} number */
export function formatCount(number) {
  return number.toLocaleString();
}

/**
 * A number of bytes, in powers of 1000, as short as it can be read.
 * @param {number} bytes
 */
export function formatBytes(bytes) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let [value, unit] = [bytes, 0];
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  const digits = unit > 0 && value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/**
 * A duration, as short as it can be read.
 * @param {number | null} milliseconds
 */
export function formatDuration(milliseconds) {
  if (milliseconds === null) return '–';
  if (milliseconds < 999.5) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1_000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
  if (minutes < 60) return `${minutes} min ${rest} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
