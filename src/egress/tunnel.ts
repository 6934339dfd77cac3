import type { Socket } from 'node:net';
import { reset } from '../net/reset.ts';
import { splice } from '../net/splice.ts';
import { UploadMeter } from '../net/upload-meter.ts';
import type { Passage } from './passage.ts';

/**
 * Carries bytes both ways until it is over, or until the client has sent more than it may.
 * @param first what the client has sent already, to be passed on as it is.
 * @param idleTimeout milliseconds.
 */
export async function carry(
  passage: Passage,
  client: Socket,
  first: Buffer,
  idleTimeout: number,
): Promise<void> {
  const meter = new UploadMeter(passage.maxUpload);
  const fits = meter.take(first.length);
  if (fits && first.length > 0) passage.socket.write(first);
  else if (!fits) reset(client);
  const broken = await splice(client, passage.socket, { idleTimeout, meter });
  const error = fits ? broken : 'upload_limit';
  if (error === 'upload_limit') passage.revoke(error);
  passage.end(error);
}
