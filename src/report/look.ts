import type { Decision } from '../policy/decide.ts';

/** How text is to look where it is read. */
export interface Look {
  colour: boolean;
  /** Characters in a line; null: any number. */
  width: number | null;
  /** Milliseconds since 1970. */
  now: number;
}

export const BOLD = 1;
export const DIM = 2;
export const RED = 31;
export const GREEN = 32;
const YELLOW = 33;
const COLOURS: Record<Decision, number> = { allow: GREEN, deny: RED, would_deny: YELLOW };

/** Text in a colour or weight, where the look has any. @param code of SGR (ECMA-48, section 8.3.117). */
export function paint({ colour }: Look, code: number, text: string): string {
  return colour && text !== '' ? `\u001b[${code}m${text}\u001b[0m` : text;
}

/** Text in the colour of a decision. */
export function paintDecision(look: Look, decision: Decision, text: string): string {
  return paint(look, COLOURS[decision], text);
}

/** Breaks text at its spaces to fit the width. @param indent what each line begins with. */
export function wrap(text: string, { width }: Look, indent = ''): string[] {
  const room = width === null ? Number.POSITIVE_INFINITY : width - indent.length;
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > room) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].map((part) => `${indent}${part}`);
}
