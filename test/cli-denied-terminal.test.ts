import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { line, MAIN } from './helpers/denied.ts';
import { isMissing } from './helpers/tools.ts';

const ESCAPE = '\u001b';

describe.skipIf(isMissing('script'))('on a terminal', () => {
  const LONG = `${'x'.repeat(60)}.example.org`;

  function onTerminal(columns: number, env: Record<string, string> = {}): string {
    const command = `stty cols ${columns}; printf '%s' "$LOG_LINE" | "${process.execPath}" "${MAIN}" denied -`;
    return execFileSync('script', ['-qec', command, '/dev/null'], {
      env: { PATH: process.env.PATH, SHELL: '/bin/bash', LOG_LINE: line({ host: LONG }), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
    });
  }

  test('it has colours, and fits the width', () => {
    const wide = onTerminal(200);
    expect(wide).toContain(`${ESCAPE}[31mnot_allowed`);
    expect(wide).toContain(`${LONG}:443 `);
    const narrow = onTerminal(80);
    expect(narrow).not.toContain(`${LONG}:443`);
    expect(narrow).toMatch(/ xxx+\.\.\.\S*\.example\.org:443 /);
    expect(narrow).toContain(`=${LONG}`);
  });

  test('NO_COLOR leaves the colours out', () => {
    expect(onTerminal(80, { NO_COLOR: '1' })).not.toContain(ESCAPE);
  });
});
