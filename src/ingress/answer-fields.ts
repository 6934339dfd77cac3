/**
 * Which fields of whisper's answers reach the client. A field that a client acts upon can send it, or
 * what it reports, to another place: those that are known to be harmless pass, and no others.
 */

/** Fields that pass, by what they are for. */
const HARMLESS: Record<string, string[]> = {
  // RFC 9110, section 8, RFC 9530, RFC 6266: they describe the content. Content-Location is missing:
  // it was once the base of a document's links.
  content: [
    'content-type',
    'content-length',
    'content-encoding',
    'content-language',
    'content-range',
    'content-disposition',
    'content-md5',
    'content-digest',
    'repr-digest',
    'digest',
    'etag',
    'last-modified',
    'mime-version',
  ],
  // RFC 9110, sections 6.6, 10.2, 14.3: about this exchange, or about what may be asked for.
  exchange: [
    'date',
    'server',
    'via',
    'allow',
    'accept-ranges',
    'accept-patch',
    'accept-post',
    'retry-after',
    'preference-applied',
    'server-timing',
    'request-id',
    'deprecation',
    'sunset',
    'ratelimit',
    'ratelimit-policy',
    'ratelimit-limit',
    'ratelimit-remaining',
    'ratelimit-reset',
  ],
  // RFC 9111: how long the answer may be kept, and for which requests.
  caching: ['age', 'cache-control', 'expires', 'pragma', 'vary', 'warning'],
  // Their values have been looked at by then: see redirect.ts.
  redirects: ['location', 'refresh'],
  // RFC 6265: a client sends a cookie back to the host it came from, or to those above it.
  cookies: ['set-cookie'],
  // RFC 9110, section 11. The value is looked at: some schemes name other places.
  authentication: ['www-authenticate', 'authentication-info'],
  // Fetch and HTML standards: they only tell a browser who may read this answer, and as what.
  reading: [
    'access-control-allow-credentials',
    'access-control-allow-headers',
    'access-control-allow-methods',
    'access-control-allow-origin',
    'access-control-allow-private-network',
    'access-control-expose-headers',
    'access-control-max-age',
    'cross-origin-resource-policy',
    'timing-allow-origin',
    'referrer-policy',
  ],
  // RFC 6455, section 11.3.
  webSocket: [
    'sec-websocket-accept',
    'sec-websocket-extensions',
    'sec-websocket-protocol',
    'sec-websocket-version',
  ],
};

/**
 * Names that begin with X- mean nothing but to a client that was written for them, and pass; all but
 * these, which browsers or other proxies act upon.
 */
const HARMFUL_X: Record<string, RegExp> = {
  // Proxies fetch another resource or file in place of this one, or change how they treat it.
  proxies:
    /^x-(?:accel-|sendfile|lighttpd-|litespeed-|reproxy|varnish|cache-tags|original-|rewrite-)/,
  // They tell who asked whom.
  forwarded: /^x-(?:forwarded|real-ip|whisper-proxy)/,
  // Former names of what reports, loads or links.
  browsers:
    /^x-(?:content-security-policy|webkit-csp|xss-protection|sourcemap|pingback|ua-compatible|dns-prefetch|robots|permitted-cross-domain)/,
};

/** Fields whose value may name another place: RFC 9728's metadata, the domain of Digest. */
const WITHOUT_ADDRESS = new Set(HARMLESS.authentication);

const PASSING = new Set(Object.values(HARMLESS).flat());
const X_PREFIX = 'x-';

/**
 * Whether a field of whisper's answer may reach the client.
 * @param name in lower case.
 */
export function isHarmless(name: string, value: string): boolean {
  if (WITHOUT_ADDRESS.has(name)) return !value.includes('//');
  if (PASSING.has(name)) return true;
  return name.startsWith(X_PREFIX) && !Object.values(HARMFUL_X).some((form) => form.test(name));
}
