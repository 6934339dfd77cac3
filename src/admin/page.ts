import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import type { FastifyInstance } from 'fastify';

const FOLDER = new URL('./page/', import.meta.url);
const FILES = [
  'index.html',
  'page.css',
  'parts.css',
  'page.js',
  'live.js',
  'service.js',
  'wanted.js',
  'units.js',
  'row.js',
  'copy.js',
  'rules.js',
  'plot.js',
  'dom.js',
  'login.js',
];
const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
};

/** Serves the status page: its files are read now, and as they are. */
export function servePage(app: FastifyInstance): void {
  for (const name of FILES) {
    const body = readFileSync(new URL(name, FOLDER));
    const type = TYPES[extname(name)] ?? '';
    const path = name === 'index.html' ? '/' : `/${name}`;
    app.get(path, async (_request, reply) => reply.type(type).send(body));
  }
}

/** The form that asks for the token, as HTML. */
export function readLoginForm(): Buffer {
  return readFileSync(new URL('login.html', FOLDER));
}
