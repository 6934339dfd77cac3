import { createHash } from 'node:crypto';
import { posix, win32 } from 'node:path';
import { readWav, WAV_HEAD_BYTES, type WavAudio, type WavFault } from './wav.ts';

/** What is remembered of an uploaded file: everything but its content. */
export interface Recording {
  /** Safe to print and to put in a URL. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
  readonly audio: WavAudio | WavFault;
}

const MAX_NAME_LENGTH = 100;

/**
 * Reads a file to its end and keeps nothing but its size, its digest and what its header says, so
 * that memory stays the same however large it is.
 *
 * @param name as the client gave it
 * @throws what `content` throws
 */
export async function readRecording(
  name: string,
  content: AsyncIterable<Buffer>,
): Promise<Recording> {
  const hash = createHash('sha256');
  const head = Buffer.alloc(WAV_HEAD_BYTES);
  let size = 0;
  for await (const chunk of content) {
    hash.update(chunk);
    if (size < head.length) chunk.copy(head, size);
    size += chunk.length;
  }
  const audio = readWav(head.subarray(0, size), size);
  return { name: safeName(name), size, sha256: hash.digest('hex'), audio };
}

/**
 * A file name that can be printed on a terminal and put in a URL: without folders, letters, digits
 * and a few signs only, at most 100 characters, "recording" if nothing is left.
 */
export function safeName(name: string): string {
  const base = win32.basename(posix.basename(name));
  const { name: stem, ext } = posix.parse(base.replace(/[^\p{L}\p{M}\p{N} ._()-]/gu, '_'));
  // By code point: half a character can't be put in a URL.
  const ending = [...ext].slice(0, MAX_NAME_LENGTH / 2);
  const beginning = /^[. _]*$/.test(stem) ? 'recording' : stem;
  return [...[...beginning].slice(0, MAX_NAME_LENGTH - ending.length), ...ending].join('');
}
