import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

/** A handshake as a client sends it (RFC 6455, section 1.3). */
export function handshake(path = '/', fields: string[] = []): string {
  return [
    `GET ${path} HTTP/1.1`,
    'Host: whisper:7860',
    'Connection: keep-alive, Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${KEY}`,
    ...fields,
    '\r\n',
  ].join('\r\n');
}

/** What a server agrees with. */
export function agreement(head: string, fields: string[] = []): string {
  const key = /^sec-websocket-key: (.*)$/im.exec(head)?.[1]?.trim() ?? '';
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
  return [
    'HTTP/1.1 101 Switching Protocols',
    'Connection: Upgrade',
    'Upgrade: websocket',
    `Sec-WebSocket-Accept: ${accept.digest('base64')}`,
    ...fields,
    '\r\n',
  ].join('\r\n');
}

/** What comes until the other end closes its half; ours stays open. */
export async function readRest(socket: Socket): Promise<string> {
  let text = '';
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    text += chunk.toString('latin1');
  }
  return text;
}
