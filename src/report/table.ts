import { formatHostPort } from '../policy/host.ts';
import { BOLD, DIM, type Look, paint, paintDecision, wrap } from './look.ts';
import { UNCOVERED } from './remedies.ts';
import type { DecisionGroup } from './snapshot.ts';
import { formatTime } from './times.ts';

const COLUMNS = ['COUNT', 'FIRST', 'LAST', 'DECISION', 'HOST', 'REASON'] as const;

type Column = (typeof COLUMNS)[number];
type Cells = Record<Column, string>;

const GAP = '  ';
/** Under a row. */
const INDENT = '       ';
const COUNT_WIDTH = 5;
/** A host that is shortened to less says nothing any more. */
const SHORTEST_HOST = 20;

/**
 * Groups as a table: a row each, and under it what can be done about it. What is to be copied is
 * never cut or broken; hosts are shortened to the width.
 */
export function formatTable(groups: readonly DecisionGroup[], look: Look): string {
  const rows = groups.map((group) => ({ group, cells: cellsOf(group, look.now) }));
  const isMixed = groups.some(({ decision }) => decision !== 'deny');
  const columns = COLUMNS.filter((column) => column !== 'DECISION' || isMixed);
  const widths = fit(
    columns,
    rows.map(({ cells }) => cells),
    look.width,
  );
  const shown = new Set<string>();
  const lines = rows.flatMap(({ group, cells }) => {
    const reason = paintDecision(look, group.decision, cells.REASON);
    return [
      `${formatCells(cells, widths)}${GAP}${reason}`.trimEnd(),
      ...formatRemedy(group, shown, look),
    ];
  });
  const titles = Object.fromEntries(COLUMNS.map((column) => [column, column])) as Cells;
  const head = `${formatCells(titles, widths)}${GAP}${titles.REASON}`;
  return [paint(look, BOLD, head), ...lines].join('\n');
}

/** What a decision was about: host and port, where there are any. */
export function formatWhere({ event, host, port }: Pick<DecisionGroup, 'event' | 'host' | 'port'>) {
  const where = host === null || port === null ? (host ?? '(many)') : formatHostPort(host, port);
  return event === 'ingress' ? `${where} (ingress)` : where;
}

/**
 * What can be done about a denial, as the lines under its row; none for what was allowed.
 * @param shown the lines to copy that stand above already; this one is added.
 */
export function formatRemedy(
  { reason, remedy }: Pick<DecisionGroup, 'reason' | 'remedy'>,
  shown: Set<string>,
  look: Look,
): string[] {
  if (remedy === null) return [];
  const { line, limit, text } = remedy;
  const explanation = wrap(text, look, INDENT).map((part) => paint(look, DIM, part));
  if (line === null) return explanation;
  const isSame = shown.has(line);
  shown.add(line);
  const advice = isSame ? paint(look, DIM, 'the same line') : paint(look, BOLD, line);
  // The row has said that it is not allowed.
  const isSaid = reason === 'not_allowed' && text.startsWith(UNCOVERED);
  const why = isSaid || isSame ? [] : explanation;
  const label = 'to allow it: ';
  const beside =
    limit === null || isSame ? [] : [`${' '.repeat(label.length)}${paint(look, BOLD, limit)}`];
  return [...why, ...[`${label}${advice}`, ...beside].map((each) => `${INDENT}${each}`)];
}

function cellsOf(group: DecisionGroup, now: number): Cells {
  const { count, first, last, decision, reason, rule } = group;
  return {
    COUNT: String(count).padStart(COUNT_WIDTH),
    FIRST: formatTime(first, now),
    LAST: formatTime(last, now),
    DECISION: decision,
    HOST: formatWhere(group),
    REASON: reason ?? rule ?? '',
  };
}

/** How wide each column is; where there is little room, FIRST is left out. */
function fit(
  columns: readonly Column[],
  rows: readonly Cells[],
  width: number | null,
): ReadonlyMap<Column, number> {
  const widths = new Map(
    columns.map((column) => [
      column,
      Math.max(column.length, ...rows.map((cells) => cells[column].length)),
    ]),
  );
  if (width === null) return widths;
  const roomForHost = () =>
    [...widths].reduce(
      (room, [column, own]) => (column === 'HOST' ? room : room - own - GAP.length),
      width,
    );
  if (roomForHost() < SHORTEST_HOST) widths.delete('FIRST');
  const room = Math.max(roomForHost(), SHORTEST_HOST);
  return widths.set('HOST', Math.min(widths.get('HOST') ?? 0, room));
}

/** Every cell but the last, which needs no padding. */
function formatCells(cells: Cells, widths: ReadonlyMap<Column, number>): string {
  return [...widths]
    .filter(([column]) => column !== 'REASON')
    .map(([column, width]) => shorten(cells[column], width).padEnd(width))
    .join(GAP);
}

/** Leaves out of the middle: the end tells whose host it is. */
function shorten(text: string, room: number): string {
  if (text.length <= room) return text;
  const end = Math.ceil((room - 3) * 0.7);
  return `${text.slice(0, room - 3 - end)}...${text.slice(-end)}`;
}
