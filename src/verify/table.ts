import { isAsWanted, type Result } from './probe.ts';

const [RED, GREEN, BOLD, RESET] = ['\u001b[31m', '\u001b[32m', '\u001b[1m', '\u001b[0m'];
const NAME_WIDTH = 50;

/** What depends on how this container was started, not on the network that it is on. */
const OF_THE_CONTAINER = ['socket families', 'system calls', 'privileges'];
const ADVICE =
  'Is this container run as whisper is? It takes --cap-drop=all --security-opt=no-new-privileges\n' +
  '--security-opt=seccomp=PATH/whisper-seccomp.json, which whisper.container has as DropCapability=all,\n' +
  'NoNewPrivileges=true and SeccompProfile=.';

/** How many names a sentence has before it becomes unreadable. */
const MAX_NAMES = 6;

/**
 * Results for people: a block a group, what is wrong marked, and a sentence that sums it up.
 * @param colour whether the reader is a terminal that wants colours.
 */
export function formatTable(results: readonly Result[], colour: boolean): string {
  const paint = (code: string, text: string) => (colour ? `${code}${text}${RESET}` : text);
  const groups = [...new Set(results.map(({ group }) => group))];
  const blocks = groups.map((group) => {
    const members = results.filter((result) => result.group === group);
    const rows = members.map((result) => {
      const isRight = isAsWanted(result);
      const mark = (isRight ? result.state : result.state.toUpperCase()).padEnd(8);
      const name = result.name.padEnd(NAME_WIDTH);
      const note = isRight ? '' : ` (must be ${result.want})`;
      return `  ${paint(isRight ? GREEN : RED, mark)} ${name} ${result.detail}${note}`.trimEnd();
    });
    return [paint(BOLD, group), ...rows].join('\n');
  });
  const isOwnFault = results.some(
    (result) => !isAsWanted(result) && OF_THE_CONTAINER.includes(result.group),
  );
  return `${[...blocks, ...(isOwnFault ? [ADVICE] : []), summarize(results)].join('\n\n')}\n`;
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
