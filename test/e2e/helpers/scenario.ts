import { afterAll, beforeAll, describe } from 'vitest';
import { isolation } from '../suites/isolation.ts';
import { oldSetup } from '../suites/old-setup.ts';
import { survival } from '../suites/survival.ts';
import { variants } from '../suites/variants.ts';
import { type Backend, Lab, whyNoLab } from './lab.ts';
import { NEIGHBOURS, OURS, start, writeShipped, writeUnits } from './stack.ts';

/** The shipped files on one kind of host, from the old setup to an unclean stop. */
export function scenario(name: string, backend: Backend, operator: 'root' | 'user'): void {
  const why = whyNoLab();
  describe.skipIf(why !== null)(`${name}${why === null ? '' : ` (${why})`}`, () => {
    const lab = new Lab(name, backend, operator);

    beforeAll(() => lab.up('whisper-proxy', 'guest'));
    afterAll(() => lab.down());

    oldSetup(lab);

    describe('the shipped files', () => {
      beforeAll(async () => {
        await writeUnits(lab, 'units');
        await writeShipped(lab);
        await start(lab, ...OURS, ...NEIGHBOURS);
      });

      isolation(lab);
      survival(lab);
      variants(lab);
    });
  });
}
