import { scenario } from './helpers/scenario.ts';

scenario('netavark-rootless', 'trixie', 'user');
