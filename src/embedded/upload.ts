import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { Busboy, type BusboyHeaders, type BusboyInstance } from '@fastify/busboy';
import type { Limits } from './limits.ts';
import { type Recording, readRecording } from './recording.ts';
import { RequestFault } from './request-fault.ts';

const MAX_FIELDS = 20;
const MAX_FIELD_BYTES = 1024;

/**
 * Reads a multipart/form-data body to its end and gives what is to be remembered of its files, in
 * their order. Other fields are ignored.
 *
 * @throws RequestFault 400 if the body is malformed, 413 if a file is too large or there are too many
 */
export async function readMultipart(
  request: IncomingMessage,
  limits: Limits,
): Promise<Recording[]> {
  const parser = createParser(request, limits);
  const streams: Readable[] = [];
  const recordings: Promise<Recording>[] = [];

  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      request.unpipe(parser);
      // The rest is read and dropped, so that a client that is still sending gets the answer.
      request.resume();
      for (const stream of streams) stream.destroy();
      reject(error);
    };
    parser.on('file', (_field, stream, filename) => {
      stream.on('limit', () => fail(tooLarge(limits)));
      const recording = readRecording(filename ?? '', stream);
      recording.catch(fail);
      streams.push(stream);
      recordings.push(recording);
    });
    parser.on('filesLimit', () => {
      fail(new RequestFault(413, `More than ${limits.files} files in one upload.`));
    });
    parser.on('error', (error) => fail(malformed(error)));
    parser.on('finish', () => resolve(Promise.all(recordings)));
    request.on('error', fail);
    request.pipe(parser);
  });
}

/**
 * Reads a body that is one file.
 *
 * @param name what to call it
 * @throws RequestFault 413 if it is too large
 */
export function readRawBody(
  request: IncomingMessage,
  name: string,
  limits: Limits,
): Promise<Recording> {
  return readRecording(name, atMost(request, limits));
}

async function* atMost(request: IncomingMessage, limits: Limits): AsyncGenerator<Buffer> {
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += chunk.length;
    if (size > limits.fileSize) throw tooLarge(limits);
    yield chunk;
  }
}

function createParser(request: IncomingMessage, limits: Limits): BusboyInstance {
  try {
    return new Busboy({
      headers: request.headers as BusboyHeaders,
      limits: {
        fileSize: limits.fileSize,
        files: limits.files,
        fields: MAX_FIELDS,
        fieldSize: MAX_FIELD_BYTES,
      },
    });
  } catch (error) {
    throw malformed(error);
  }
}

function tooLarge(limits: Limits): RequestFault {
  return new RequestFault(413, `A file is larger than ${limits.fileSize} bytes.`);
}

function malformed(error: unknown): RequestFault {
  const reason = error instanceof Error ? error.message : String(error);
  return new RequestFault(400, `The multipart body can't be read: ${reason}.`);
}
