import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

const COOKIE = 'whisper-proxy';
/** What the form for the token is made of; there is nothing secret in it. */
const OPEN_PATHS: ReadonlySet<string> = new Set(['/login.js', '/page.css', '/parts.css']);
/** Where the form sends the token, as a Bearer token, for a cookie. */
const LOGIN_PATH = '/login';

/**
 * Lets in only who knows ADMIN_TOKEN: as a Bearer token, or by a cookie that a browser gets for it.
 * Someone who opens the page without one gets a form that asks for the token; `/?token=` works as well,
 * and is sent on, so that the token stands in no address bar and no history.
 * @param form the HTML of that form.
 */
export function requireToken(app: FastifyInstance, token: string, form: Buffer): void {
  const pass = passFor(token);
  // No Secure: there is no TLS here, and browsers would drop it.
  const setCookie = `${COOKIE}=${pass}; HttpOnly; SameSite=Strict; Path=/`;
  app.addHook('onRequest', async (request, reply) => {
    const given = tokenInUrl(request);
    if (given !== null && isEqual(given, token)) {
      return reply.code(303).headers({ 'Set-Cookie': setCookie, Location: '/' }).send();
    }
    const { authorization, cookie } = request.headers;
    const hasToken = given === null && isBearer(authorization, token);
    if (hasToken && request.url === LOGIN_PATH) {
      return reply.code(204).header('Set-Cookie', setCookie).send();
    }
    if (hasToken || (given === null && isEqual(passIn(cookie), pass))) return;
    if (OPEN_PATHS.has(request.url)) return;
    return refuse(request, reply, form);
  });
}

function refuse({ url, headers }: FastifyRequest, reply: FastifyReply, form: Buffer): FastifyReply {
  reply.code(401).header('WWW-Authenticate', 'Bearer');
  const isPage = /^\/(?:\?|$)/.test(url) && headers.accept?.includes('text/html') === true;
  return isPage
    ? reply.type('text/html; charset=utf-8').send(form)
    : reply.send({
        error: 'this needs ADMIN_TOKEN, as a Bearer token, or in a browser once as /?token=…',
      });
}

/** What the cookie has. Other ports of this host get to see it, so it is not the token itself. */
function passFor(token: string): string {
  return createHmac('sha256', token).update('status page').digest('hex');
}

function passIn(cookie = ''): string {
  return new RegExp(`(?:^|; *)${COOKIE}=([^;]*)`).exec(cookie)?.[1] ?? '';
}

/** The token of `/?token=`; no other path takes one. */
function tokenInUrl({ url }: FastifyRequest): string | null {
  const [path, query = ''] = url.split('?', 2);
  // A + is one of a token's own characters, and no space here.
  return path === '/' ? new URLSearchParams(query.replaceAll('+', '%2B')).get('token') : null;
}

function isBearer(authorization: string | undefined, token: string): boolean {
  return isEqual(/^Bearer (.*)$/i.exec(authorization ?? '')?.[1] ?? '', token);
}

/** Compares hashes, which have one length, in constant time. */
function isEqual(given: string, wanted: string): boolean {
  return timingSafeEqual(sha256(given), sha256(wanted));
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
