import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Most of them wait for something, so there may be more than there are cores.
    maxWorkers: 3,
    isolate: false,
    testTimeout: 20_000,
    hookTimeout: 20_000,
  },
});
