import { scenario } from './helpers/scenario.ts';

scenario('cni-rootful', 'bookworm', 'root');
