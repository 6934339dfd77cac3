import { BoundedMap } from './bounded-map.ts';
import type { Limits } from './limits.ts';
import type { Outcome } from './outcome.ts';
import type { Recording } from './recording.ts';
import type { ResultFile } from './transcript.ts';

/** A job that is done, and whose answer waits for its client. */
export interface Job {
  readonly session: string;
  readonly outcome: Outcome;
}

/** All that the stand-in remembers: in memory, bounded, the oldest forgotten first. */
export interface Store {
  /** By the path that the client was told for its upload. */
  readonly uploads: BoundedMap<Recording>;
  /** By the path in the result's URL. */
  readonly results: BoundedMap<ResultFile>;
  /** By event id. */
  readonly jobs: BoundedMap<Job>;
}

/** An empty store. */
export function createStore(limits: Limits): Store {
  return {
    uploads: new BoundedMap(limits.uploads),
    results: new BoundedMap(limits.results),
    jobs: new BoundedMap(limits.jobs),
  };
}
