import { expect } from 'vitest';

export type Labels = Record<string, string>;

/** One line of a scrape that has a value. */
export interface Sample {
  name: string;
  labels: Labels;
  value: number;
}

/** What `GET /metrics` has answered, read as Prometheus reads it. */
export class Scrape {
  readonly text: string;
  readonly samples: Sample[] = [];
  /** The type and help of each metric. */
  readonly metrics = new Map<string, { type: string; help: string }>();

  /** @throws for a line that is none of the text format's. */
  constructor(text: string) {
    this.text = text;
    for (const line of text.split('\n').filter((each) => each !== '')) {
      const [, keyword, metric = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
      if (keyword === 'HELP') this.metrics.set(metric, { type: '', help: rest });
      else if (keyword === 'TYPE') Object.assign(this.metrics.get(metric) ?? {}, { type: rest });
      else this.samples.push(readSample(line));
    }
  }

  /** The sum of the samples that have a name and, among others, these labels; fails if there is none. */
  sum(name: string, labels: Labels = {}): number {
    const found = this.find(name, labels);
    if (found.length === 0) throw new Error(`no ${name} ${JSON.stringify(labels)}`);
    return found.reduce((sum, { value }) => sum + value, 0);
  }

  /** The samples that have a name and, among others, these labels. */
  find(name: string, labels: Labels = {}): Sample[] {
    return this.samples.filter(
      (sample) =>
        sample.name === name &&
        Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
    );
  }
}

/** Scrapes the admin listener at a port. */
export async function scrape(port: number): Promise<Scrape> {
  const answer = await fetch(`http://127.0.0.1:${port}/metrics`);
  expect(answer.status).toBe(200);
  return new Scrape(await answer.text());
}

function readSample(line: string): Sample {
  const match = /^([a-z_][a-z0-9_]*)(?:\{(.*)\})? (\S+)$/.exec(line);
  const value = Number(match?.[3]?.replace('Inf', 'Infinity'));
  if (match === null || Number.isNaN(value)) throw new Error(`not a sample: ${line}`);
  const labels: Labels = {};
  const rest = match[2]?.replace(
    /([a-z_]+)="((?:[^"\\\n]|\\[n"\\])*)"(?:,|$)/g,
    (_, name, text) => {
      labels[name] = text;
      return '';
    },
  );
  if (rest) throw new Error(`not labels: ${line}`);
  return { name: match[1] ?? '', labels, value };
}
