import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';

const COOKIE = 'whisper-proxy';

/**
 * Lets in only who knows ADMIN_TOKEN: as a Bearer token, or once as `/?token=`, which the browser
 * gets a cookie for and is sent on, so that it stands in no address bar and no history.
 */
export function requireToken(app: FastifyInstance, token: string): void {
  const pass = passFor(token);
  app.addHook('onRequest', async (request, reply) => {
    const given = tokenInUrl(request);
    if (given !== null && isEqual(given, token)) {
      // No Secure: there is no TLS here, and browsers would drop it.
      const cookie = `${COOKIE}=${pass}; HttpOnly; SameSite=Strict; Path=/`;
      return reply.code(303).headers({ 'Set-Cookie': cookie, Location: '/' }).send();
    }
    const { authorization, cookie } = request.headers;
    if (given === null && (isBearer(authorization, token) || isEqual(passIn(cookie), pass))) return;
    return reply.code(401).header('WWW-Authenticate', 'Bearer').send({
      error: 'this needs ADMIN_TOKEN, as a Bearer token, or in a browser once as /?token=…',
    });
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
