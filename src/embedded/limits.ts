/** What the stand-in takes before it refuses or forgets. Sizes in bytes. */
export interface Limits {
  /** One uploaded file; a larger one is answered with 413. A WAV file can't say more than 4 GiB. */
  readonly fileSize: number;
  /** Files in one upload or one job; more are answered with 413, or fail the job. */
  readonly files: number;
  /** Uploads remembered (name, size, digest: never the audio); the oldest is forgotten. */
  readonly uploads: number;
  /** Result files kept in memory; the oldest is forgotten. */
  readonly results: number;
  /** Jobs whose answer was not fetched yet; the oldest is forgotten. */
  readonly jobs: number;
  /** Open heartbeats; one more is answered with 503. */
  readonly heartbeats: number;
  /** Open connections; one more is closed at once. */
  readonly connections: number;
}

export const DEFAULT_LIMITS: Limits = {
  fileSize: 4 * 2 ** 30,
  files: 20,
  uploads: 1000,
  results: 1000,
  jobs: 100,
  heartbeats: 100,
  connections: 256,
};
