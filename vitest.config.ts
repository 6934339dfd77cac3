import { configDefaults, defineConfig } from 'vitest/config';

// It turns undici's own clock forward, so it must have undici for itself.
const ALONE = ['test/ingress-silence.test.ts'];
const E2E = 'test/e2e/**';

export default defineConfig({
  test: {
    reporters: ['default', './test/helpers/skip-reporter.ts'],
    // Most of them wait for something, so there may be more than there are cores.
    maxWorkers: 3,
    // No stopwatch: a test that hangs is ended, one on a busy machine is not.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 60_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: 'shared',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...ALONE, E2E],
          // The modules have no state of their own, and loading them takes longer than most tests.
          isolate: false,
        },
      },
      { extends: true, test: { name: 'alone', include: ALONE, isolate: true } },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: [`${E2E}/*.test.ts`],
          globalSetup: 'test/e2e/helpers/build.ts',
          // A file is one host, and its tests go on from each other. They mostly wait.
          maxWorkers: 4,
          testTimeout: 180_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
});
