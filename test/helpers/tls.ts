import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Origin, start } from './origin.ts';
import { cleanUp } from './proxy-cleanup.ts';

/** A certificate for `origin.test` that signs itself. */
export interface Certificate {
  key: string;
  cert: string;
  /** Where the certificate stands, for tools that want a file. */
  path: string;
}

/** Makes a certificate that is gone after the test; needs openssl. */
export function createCertificate(): Certificate {
  const folder = mkdtempSync(join(tmpdir(), 'whisper-proxy-'));
  cleanUp(() => rmSync(folder, { recursive: true }));
  return writeCertificate(folder);
}

/** Makes a certificate in a folder, as key.pem and cert.pem; needs openssl. */
export function writeCertificate(folder: string): Certificate {
  const [keyPath, path] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const name = ['-subj', '/CN=origin.test', '-addext', 'subjectAltName=DNS:origin.test'];
  const files = ['-keyout', keyPath, '-out', path];
  execFileSync('openssl', ['req', '-x509', ...key, ...name, '-days', '2', ...files], {
    stdio: 'ignore',
  });
  return { key: readFileSync(keyPath, 'utf8'), cert: readFileSync(path, 'utf8'), path };
}

/** An HTTPS server on loopback that answers with what it was sent, method and path first. */
export function startEchoTls(
  { key, cert }: Certificate,
  host = '127.0.0.1',
  port = 0,
): Promise<Origin> {
  const server = createServer({ key, cert }, (request, response) => {
    response.write(`${request.method} ${request.url} `);
    request.pipe(response);
  });
  return start(server, host, [], port);
}
