import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from './lab.ts';
import { fromSessionManager } from './stack.ts';

const ASKS = readFileSync(new URL('../fixtures/asks.py', import.meta.url), 'utf8');
const LOG = '/tmp/asked';
/** After how many seconds a question without an answer counts as a no. */
const PATIENCE = 2;

/** One question of session-manager's: when it asked, in seconds since 1970, and whether it got an address. */
interface Question {
  asked: number;
  name: string;
  answered: boolean;
}

/** Lets session-manager ask for these names ten times a second, until it ends or is told to stop. */
export async function askForNames(lab: Lab, ...names: string[]): Promise<void> {
  await lab.sh("podman exec -i session-manager sh -c 'cat >/tmp/asks.py'", ASKS);
  await lab.sh(
    `podman exec --detach --env RES_OPTIONS='timeout:${PATIENCE} attempts:1' session-manager python3 /tmp/asks.py ${LOG} ${names.join(' ')}`,
  );
  await lab.until(fromSessionManager(`grep --quiet yes ${LOG}`));
}

export async function stopAsking(lab: Lab): Promise<void> {
  await lab.sh(fromSessionManager(`rm -f ${LOG}`));
}

/** For how long a name was away, in seconds, all stretches together, while something went on. */
export async function secondsAway(
  lab: Lab,
  name: string,
  during: () => Promise<unknown>,
): Promise<number> {
  const since = Date.now() / 1000;
  await during();
  await sleep((PATIENCE + 1) * 1000);
  const questions = (await asked(lab)).filter((each) => each.name === name && each.asked >= since);
  const span = (questions.at(-1)?.asked ?? 0) - since;
  // Else it shows nothing. (It may be slow on a busy machine, and the last ones have no answer yet.)
  if (questions.length < span * 2)
    throw new Error(`asked for ${name} only ${questions.length} times in ${span} s`);
  let away = 0;
  for (const [index, { asked, answered }] of questions.entries()) {
    if (!answered) away += (questions[index + 1]?.asked ?? asked + 0.1) - asked;
  }
  return away;
}

async function asked(lab: Lab): Promise<Question[]> {
  const lines = (await lab.sh(fromSessionManager(`cat ${LOG}`))).trim().split('\n');
  return lines
    .map((line) => line.split(' '))
    .map(([asked, name, answer]) => ({
      asked: Number(asked),
      name: name ?? '',
      answered: answer === 'yes',
    }))
    .toSorted((a, b) => a.asked - b.asked);
}
