import { afterAll, beforeAll, describe } from 'vitest';
import { escapes } from '../suites/escapes.ts';
import { isolation } from '../suites/isolation.ts';
import { migration } from '../suites/migration.ts';
import { operating } from '../suites/operating.ts';
import { quietWays } from '../suites/quiet-ways.ts';
import { site } from '../suites/site.ts';
import { survival } from '../suites/survival.ts';
import { variants } from '../suites/variants.ts';
import { Lab, type Suite, whyNoLab } from './lab.ts';

/** The shipped files on one kind of host, from the old setup to an unclean stop. */
export function scenario(name: string, suite: Suite, operator: 'root' | 'user'): void {
  const why = whyNoLab();
  describe.skipIf(why !== null)(`${name}${why === null ? '' : ` (${why})`}`, () => {
    const lab = new Lab(name, suite, operator);

    beforeAll(() => lab.up('guest'));
    afterAll(() => lab.down());

    migration(lab);
    isolation(lab);
    quietWays(lab);
    operating(lab);
    escapes(lab);
    survival(lab);
    site(lab);
    variants(lab);
  });
}
