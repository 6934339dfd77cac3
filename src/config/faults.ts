import type { Fault } from './env-file.ts';
import { MAX_FAULTS } from './sources.ts';
import { isKnown, isSecretName } from './variables.ts';

/** Every fault of a configuration in one message. */
export class ConfigError extends Error {
  readonly code = 'BAD_CONFIG';
  readonly faults: readonly Fault[];
  /** A sentence for each fault, in the order of their lines. */
  readonly messages: string[];

  constructor(faults: readonly Fault[], file: string | null) {
    const count = faults.length === 1 ? 'a fault' : `${faults.length} faults`;
    const inOrder = [...faults].sort((a, b) => (a.line ?? Infinity) - (b.line ?? Infinity));
    const messages = inOrder.slice(0, MAX_FAULTS).map((fault) => formatFault(fault, file));
    if (faults.length > MAX_FAULTS) messages.push(`and ${faults.length - MAX_FAULTS} more`);
    const lines = messages.map((message) => `  ${message}`);
    super(`the configuration has ${count}, so nothing was started:\n${lines.join('\n')}`);
    this.faults = faults;
    this.messages = messages;
  }
}

/** Whether what is behind a fault may have been meant for any variable. */
function mayHide({ name, line }: Fault): boolean {
  if (name === null) return true;
  // What an unknown name was meant to be is a guess, which may improve a message, but decides nothing.
  return line === null ? name === 'CONFIG_FILE' : !isKnown(name);
}

/** Of a file with that many faults nobody knows what was meant, and finding out would take seconds. */
export function mayHideAny(faults: readonly Fault[]): boolean {
  return faults.length > MAX_FAULTS || faults.some(mayHide);
}

function formatFault({ name, line, value, message }: Fault, file: string | null): string {
  const where = line === null ? '' : `${file ?? 'the file'}, line ${line}: `;
  const secret = holdsSecret(`${name ?? ''}=`) || holdsSecret(value ?? '');
  const shown = value === null || secret ? null : quote(hideUser(value));
  const said = secret ? withoutItems(message, value ?? '') : message;
  return `${where}${[name, shown].filter((part) => part !== null).join('=')}: ${said}`;
}

/** Whether a text has the name of a secret in it, wherever a variable may be set: what is behind it is hidden. */
function holdsSecret(text: string): boolean {
  const words = text.matchAll(/([A-Za-z][A-Za-z0-9_]*)(\s*[=:])?/g);
  return [...words].some(
    ([, word = '', set]) =>
      (set !== undefined || /^[A-Z0-9_]{4,}$/.test(word)) && isSecretName(word),
  );
}

/** A message without what it repeats of a value. */
function withoutItems(message: string, value: string): string {
  const items = value.split(/[\s,]+/).filter((item) => item.length > 3);
  return items.reduce((text, item) => text.replaceAll(item, '…'), message);
}

/** Without the user and password of a URL. */
function hideUser(value: string): string {
  return value.replace(/:\/\/[^/@\s]*:[^/@\s]*@/g, '://…@');
}

/** A value as a message may show it: one line, bounded. */
function quote(value: string): string {
  return JSON.stringify(value.length > 200 ? `${value.slice(0, 200)}…` : value);
}
