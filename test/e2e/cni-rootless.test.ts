import { scenario } from './helpers/scenario.ts';

scenario('cni-rootless', 'bookworm', 'user');
