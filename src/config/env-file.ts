import { findLookalike } from '../policy/characters.ts';

/** An assignment of the file, or of the environment, where it has no line. */
export interface Assignment {
  name: string;
  value: string;
  line: number | null;
}

/** Something in the configuration that cannot be taken as it is. */
export interface Fault {
  name: string | null;
  line: number | null;
  value: string | null;
  /** What is wrong and what to do, as a sentence without its final stop. */
  message: string;
}

/** What some editors show as a line's end: a rule behind it would look set, and be part of a comment. */
const LINE_BREAK = /[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]/;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const QUOTED = /^"([^"]*)"$|^'([^']*)'$/;

/**
 * Reads an env file: `NAME=value` a line, the value possibly in matching quotes, comments at the
 * start of a line only; CRLF and a byte-order mark are tolerated. What shells and other readers of
 * such files would take differently is a fault, never a guess.
 */
export function parseEnvFile(text: string): { assignments: Assignment[]; faults: Fault[] } {
  const assignments: Assignment[] = [];
  const faults: Fault[] = [];
  const firstLine = new Map<string, number>();
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  for (const [index, raw] of lines.entries()) {
    const content = raw.trim();
    const line = index + 1;
    if (LINE_BREAK.test(content)) {
      const message = 'take the control characters and strange line breaks out';
      faults.push({ name: null, line, value: content, message });
      continue;
    }
    if (content === '' || content.startsWith('#')) continue;
    const lookalike = findLookalike(raw);
    if (lookalike !== null) {
      const name = NAME.exec(content.slice(0, content.indexOf('=')))?.[0] ?? null;
      faults.push({
        name,
        line,
        value: name === null ? content : valueIn(content),
        message: lookalike,
      });
      continue;
    }
    const parsed = parseLine(content);
    if ('message' in parsed) {
      faults.push({ ...parsed, line });
      continue;
    }
    const earlier = firstLine.get(parsed.name);
    if (earlier !== undefined) {
      const message = `it stands in line ${earlier} already; put everything into one of the two`;
      faults.push({ name: parsed.name, line, value: parsed.value, message });
      continue;
    }
    firstLine.set(parsed.name, line);
    assignments.push({ ...parsed, line });
  }
  return { assignments, faults };
}

function valueIn(content: string): string {
  return content.slice(content.indexOf('=') + 1).trim();
}

function parseLine(content: string): { name: string; value: string } | Omit<Fault, 'line'> {
  const equals = content.indexOf('=');
  if (/^export\s/.test(content)) {
    return fault(null, content, 'take the word export out: this is not a shell script');
  }
  if (equals === -1) return fault(null, content, 'a line must be NAME=value');
  const name = content.slice(0, equals);
  const text = content.slice(equals + 1).trim();
  if (!NAME.test(name)) {
    const message = 'a name has letters, digits and _ only, and no space around it';
    return fault(null, content, message);
  }
  const quoted = QUOTED.exec(text);
  const value = quoted?.[1] ?? quoted?.[2] ?? text;
  if (value.endsWith('\\')) {
    return fault(name, text, 'a line cannot go on in the next; use one long line, or groups');
  }
  if (!quoted && /["']/.test(text)) {
    return fault(name, text, 'quotes must stand around the whole value, or nowhere');
  }
  if (!quoted && /\s#/.test(text)) {
    return fault(name, text, 'a comment must have a line of its own');
  }
  return { name, value };
}

function fault(name: string | null, value: string, message: string): Omit<Fault, 'line'> {
  return { name, value, message };
}
