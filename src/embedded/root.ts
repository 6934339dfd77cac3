import type { IncomingHttpHeaders } from 'node:http';
import { RequestFault } from './request-fault.ts';

/**
 * The origin under which a client reaches the application, without a slash at its end. As Gradio
 * does, it believes X-Forwarded-Host before Host and X-Forwarded-Proto before http, and takes the
 * first of several (`get_root_url` in gradio/route_utils.py).
 *
 * @throws RequestFault 400 if the name is not a host with or without a port
 */
export function rootOf(headers: IncomingHttpHeaders): string {
  const host = first(headers['x-forwarded-host']) ?? headers.host ?? '';
  const scheme = first(headers['x-forwarded-proto']) === 'https' ? 'https' : 'http';
  const root = `${scheme}://${host}`;
  if (!/^[\w.:[\]-]+$/.test(host) || !URL.canParse(root)) {
    throw new RequestFault(400, 'The Host of the request is not a host name.');
  }
  return new URL(root).origin;
}

function first(value: string | string[] | undefined): string | undefined {
  return (
    String(value ?? '')
      .split(',')[0]
      ?.trim() || undefined
  );
}
