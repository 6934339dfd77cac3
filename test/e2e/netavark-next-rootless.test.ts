import { scenario } from './helpers/scenario.ts';

scenario('netavark-next-rootless', 'testing', 'user');
