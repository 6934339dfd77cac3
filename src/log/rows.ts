import type { DestinationStream } from 'pino';
import { formatHostPort, parseHost } from '../policy/host.ts';
import { allowLine } from '../policy/remedy.ts';

type Line = Record<string, unknown>;

const COLOURS: Record<string, number> = { allow: 32, deny: 31, would_deny: 33 };

/**
 * A destination for the log that shows people a row for each line instead of JSON.
 * @param write takes one row with its final newline.
 */
export function rowDestination(write: (row: string) => void, colour: boolean): DestinationStream {
  return { write: (json) => write(`${formatRow(JSON.parse(json) as Line, colour)}\n`) };
}

/** One line of the log as a row: local time, what was decided, about what, why. */
export function formatRow(line: Line, colour = false): string {
  const time = new Date(String(line.time)).toTimeString().slice(0, 8);
  return `${time}  ${formatBody(line, colour)}`;
}

function formatBody(line: Line, colour: boolean): string {
  if (line.event === 'egress_end') {
    const { bytes_out, bytes_in, duration_ms, error } = line;
    const how = error ? `, ${error}` : '';
    const what = `${bytes_out} bytes out, ${bytes_in} in, ${duration_ms} ms${how}`;
    return `${'ended'.padEnd(10)}  ${columns(line)}  ${what}${times(line)}`;
  }
  if (line.event === 'ingress_failure' || line.event === 'ingress_request') {
    return formatRequest(line, colour);
  }
  if (line.decision) {
    const word = String(line.decision).padEnd(10);
    const code = colour ? COLOURS[String(line.decision)] : undefined;
    const painted = code === undefined ? word : `\u001b[${code}m${word}\u001b[0m`;
    return `${painted}  ${columns(line)}  ${line.reason ?? line.rule ?? ''}${remedy(line)}${times(line)}`;
  }
  const { time: _, level, msg, ...rest } = line;
  const details = Object.keys(rest).length > 0 ? `  ${JSON.stringify(rest)}` : '';
  const row = `${String(level).padEnd(10)}  ${msg ?? ''}${details}`;
  return row.replace(/[\x00-\x1f\x7f-\x9f]/g, ' ');
}

function formatRequest(line: Line, colour: boolean): string {
  const { event, client, method, status, reason, error, bytes_in, bytes_out, duration_ms } = line;
  const isFailure = event === 'ingress_failure';
  const word = (isFailure ? 'failed' : 'request').padEnd(10);
  const painted = isFailure && colour ? `\u001b[${COLOURS.deny}m${word}\u001b[0m` : word;
  const what = [method, status, client].filter((part) => part !== null).join(' ') || '(many)';
  const details = [
    ...(reason === undefined ? [] : [error === null ? reason : `${reason} (${error})`]),
    ...(bytes_in === undefined ? [] : [`${bytes_in} bytes in, ${bytes_out} out`]),
    ...(duration_ms === undefined ? [] : [`${duration_ms} ms`]),
  ];
  const row = `${painted}  ${'ingress'.padEnd(16)}  ${what.padEnd(28)}  ${details.join(', ')}`;
  return `${row.trimEnd()}${times(line)}`;
}

function columns({ via, event, host, port }: Line): string {
  const name = host === null ? '(many)' : String(host);
  const where = port === null ? name : formatHostPort(name, Number(port));
  const way = event === 'ingress' ? 'ingress' : (via ?? '');
  return `${String(way).padEnd(16)}  ${where.padEnd(28)}`;
}

function remedy({ reason, host, port }: Line): string {
  const parsed = reason === 'not_allowed' && host !== null ? parseHost(String(host)) : null;
  return parsed ? `  to allow it: ${allowLine({ ...parsed, port: port as number | null })}` : '';
}

function times({ repeated }: Line): string {
  return repeated === undefined ? '' : `  (${repeated} more)`;
}
