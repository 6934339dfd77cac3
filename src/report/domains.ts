import { getDomain } from 'tldts';

/**
 * The registrable domain of a host: the part below a public suffix that somebody has registered, as
 * `example.co.uk` of `a.b.example.co.uk`.
 * @param host canonical, or what was sent instead of a host.
 * @returns null: it is an address, or has none.
 */
export function domainOf(host: string | null): string | null {
  return host === null ? null : getDomain(host, { allowPrivateDomains: true });
}

/** Where the models of whisper come from. The env file has a group for each. */
const MODEL_SOURCES: [source: string, domains: string[]][] = [
  ['Hugging Face', ['huggingface.co', 'hf.co']],
  ['OpenAI', ['openaipublic.azureedge.net']],
  ['GitHub', ['github.com', 'githubusercontent.com']],
  ['PyPI', ['pypi.org', 'pythonhosted.org']],
];

/** Whose host it is, where models or packages are known to come from there; or null. */
export function modelSourceOf(host: string | null): string | null {
  if (host === null) return null;
  const isWithin = (domain: string) => host === domain || host.endsWith(`.${domain}`);
  return MODEL_SOURCES.find(([, domains]) => domains.some(isWithin))?.[0] ?? null;
}
