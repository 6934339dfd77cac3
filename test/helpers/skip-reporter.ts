import type { Reporter, TestModule } from 'vitest/node';

/** Lists the tests that were skipped: their names say what they need. */
export default class SkipReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const skipped = modules.flatMap((module) => [...module.children.allTests('skipped')]);
    for (const { module, fullName } of skipped) {
      console.log(` skipped  ${module.relativeModuleId} > ${fullName}`);
    }
  }
}
