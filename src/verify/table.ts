import { BOLD, GREEN, type Look, paint, RED, wrap } from '../report/look.ts';
import { isAsWanted, type Result } from './probe.ts';

const MARK_WIDTH = 8;
const NAME_WIDTH = 50;
/** Under a row. */
const INDENT = ' '.repeat(2 + MARK_WIDTH + 1);

/** What depends on how this container was started, not on the network that it is on. */
const OF_THE_CONTAINER = ['socket families', 'system calls', 'privileges'];
const ADVICE =
  'Is this container run as whisper is? It takes --cap-drop=all --security-opt=no-new-privileges ' +
  '--security-opt=seccomp=PATH/whisper-seccomp.json, which whisper.container has as DropCapability=all, ' +
  'NoNewPrivileges=true and SeccompProfile=.';
/** A line of text where the reader has no width. */
const TEXT_WIDTH = 110;

/** How many names a sentence has before it becomes unreadable. */
const MAX_NAMES = 6;

/** Results for people: a block a group, what is wrong marked, and a sentence that sums it up. */
export function formatTable(results: readonly Result[], look: Look): string {
  const groups = [...new Set(results.map(({ group }) => group))];
  const blocks = groups.map((group) => {
    const members = results.filter((result) => result.group === group);
    return [paint(look, BOLD, group), ...members.flatMap((each) => formatRow(each, look))].join(
      '\n',
    );
  });
  const isOwnFault = results.some(
    (result) => !isAsWanted(result) && OF_THE_CONTAINER.includes(result.group),
  );
  const advice = wrap(ADVICE, { ...look, width: look.width ?? TEXT_WIDTH }).join('\n');
  const summary = wrap(summarize(results), look).join('\n');
  return `${[...blocks, ...(isOwnFault ? [advice] : []), summary].join('\n\n')}\n`;
}

/** A line; where it does not fit, the name and the detail each below the other. */
function formatRow(result: Result, look: Look): string[] {
  const isRight = isAsWanted(result);
  const right = result.want === 'open' ? 'works' : result.state;
  const mark = (isRight ? right : result.state.toUpperCase()).padEnd(MARK_WIDTH);
  const detail = `${result.detail}${isRight ? '' : ` (must be ${result.want})`}`;
  const begin = `  ${paint(look, isRight ? GREEN : RED, mark)} `;
  const text = `${result.name.padEnd(NAME_WIDTH)} ${detail}`.trimEnd();
  if (look.width === null || INDENT.length + text.length <= look.width) return [`${begin}${text}`];
  const [first = '', ...rest] = [
    ...wrap(result.name, look, INDENT),
    ...(detail === '' ? [] : wrap(detail, look, `${INDENT}  `)),
  ];
  return [`${begin}${first.slice(INDENT.length)}`, ...rest].map((line) => line.trimEnd());
}

/** What the results come to, in a line; what is wrong first. */
export function summarize(results: readonly Result[]): string {
  const ways = results.filter(({ want }) => want === 'closed');
  const work = results.filter(({ want }) => want === 'open');
  const wrong = results.filter((result) => !isAsWanted(result));
  const open = wrong.filter(({ want, state }) => want === 'closed' && state === 'open');
  const unknown = wrong.filter(({ want, state }) => want === 'closed' && state === 'unknown');
  const untried = ways.filter(({ state }) => state === 'untried');
  const broken = wrong.filter(({ want }) => want === 'open');
  const parts = [
    ...(open.length > 0 ? [`OPEN: ${list(open)}`] : []),
    ...(broken.length > 0 ? [`does not work: ${list(broken)}`] : []),
    ...(unknown.length > 0 ? [`could not be tried: ${list(unknown)}`] : []),
  ];
  const tried = ways.length - untried.length;
  const closed = tried - open.length - unknown.length;
  const all = closed === tried ? 'all closed' : `${closed} closed`;
  const total = `${count(tried, 'way')} out tried, ${all}${without(untried)}${works(work.length, broken.length)}.`;
  return parts.length === 0 ? total : `${parts.join('. ')}. ${total}`;
}

function without(untried: readonly Result[]): string {
  if (untried.length === 0) return '';
  return `; ${untried.length} cannot be tried while whisper runs: ${list(untried)}`;
}

function works(all: number, broken: number): string {
  if (all === 0) return '';
  const done = all - broken;
  const things = broken === 0 ? count(done, 'thing') : `${done} of ${count(all, 'thing')}`;
  return `; ${things} that must work ${done === 1 ? 'does' : 'do'}`;
}

function list(results: readonly Result[]): string {
  const names = results.slice(0, MAX_NAMES).map(({ name }) => name);
  const rest = results.length - names.length;
  return `${names.join('; ')}${rest > 0 ? `; and ${rest} more` : ''}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
