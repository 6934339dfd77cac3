import { StringDecoder } from 'node:string_decoder';

/**
 * The lines of a stream of UTF-8, without their ends, one by one, in bounded memory.
 * @param longest characters; of a longer line comes null.
 */
export async function* splitLines(
  chunks: AsyncIterable<Buffer>,
  longest: number,
): AsyncGenerator<string | null> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  let isTooLong = false;
  for await (const chunk of chunks) {
    const pieces = decoder.write(chunk).split('\n');
    for (const [index, piece] of pieces.entries()) {
      if (isTooLong || rest.length + piece.length > longest) {
        isTooLong = true;
        rest = '';
      } else rest += piece;
      if (index === pieces.length - 1) break;
      yield isTooLong ? null : rest;
      isTooLong = false;
      rest = '';
    }
  }
  if (isTooLong) yield null;
  else if (rest !== '') yield rest;
}
