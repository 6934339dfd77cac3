/** How many bytes at the beginning of a file `readWav` looks at. */
export const WAV_HEAD_BYTES = 64 * 1024;

/** What the header of a WAV file says about its audio. */
export interface WavAudio {
  readonly sampleRate: number;
  readonly channels: number;
  readonly bitsPerSample: number;
  /** Length of the audio that is really there, in seconds. */
  readonly seconds: number;
  /** The length in bytes that the header claims, if there is less than that. */
  readonly claimedBytes?: number;
}

/** Why something is not a WAV file, as the end of a sentence: "it does not begin with RIFF". */
export interface WavFault {
  readonly fault: string;
}

interface Chunk {
  readonly id: string;
  /** Where its content begins. */
  readonly start: number;
  readonly claimedBytes: number;
}

/**
 * Reads the header of a WAV file: Microsoft's "Multimedia Programming Interface and Data
 * Specifications 1.0", RIFF and WAVE; an RF64 file (EBU Tech 3306) is read in the same way.
 *
 * @param head the first bytes of the file, `WAV_HEAD_BYTES` of them or all there are
 * @param size the size of the whole file in bytes
 * @returns what the audio is, or why the file can't be read; it never throws
 */
export function readWav(head: Buffer, size: number): WavAudio | WavFault {
  if (size === 0) return { fault: 'it is empty' };
  const form = ascii(head, 0);
  if (form !== 'RIFF' && form !== 'RF64') return { fault: 'it does not begin with RIFF' };
  if (ascii(head, 8) !== 'WAVE') return { fault: 'it is a RIFF file of another kind than WAVE' };

  let format: Chunk | undefined;
  for (const chunk of chunks(head)) {
    if (chunk.id === 'fmt ') format = chunk;
    if (chunk.id === 'data') {
      if (!format) return { fault: 'its data comes before its format' };
      return describe(head, format, chunk.claimedBytes, size - chunk.start);
    }
  }
  return { fault: `it has no data chunk within its first ${head.length} bytes` };
}

function* chunks(head: Buffer): Generator<Chunk> {
  let at = 12;
  while (at + 8 <= head.length) {
    const chunk = { id: ascii(head, at), start: at + 8, claimedBytes: head.readUInt32LE(at + 4) };
    yield chunk;
    // A chunk of odd length is followed by a byte of padding.
    at = chunk.start + chunk.claimedBytes + (chunk.claimedBytes % 2);
  }
}

function describe(
  head: Buffer,
  format: Chunk,
  claimedBytes: number,
  presentBytes: number,
): WavAudio | WavFault {
  if (format.claimedBytes < 16) return { fault: 'its format chunk is too short' };
  const channels = head.readUInt16LE(format.start + 2);
  const sampleRate = head.readUInt32LE(format.start + 4);
  const bytesPerSecond = head.readUInt32LE(format.start + 8);
  const bitsPerSample = head.readUInt16LE(format.start + 14);
  if (channels === 0 || sampleRate === 0 || bytesPerSecond === 0) {
    return { fault: 'its format has no channels, no sample rate or no byte rate' };
  }
  const bytes = Math.min(claimedBytes, presentBytes);
  const audio = { sampleRate, channels, bitsPerSample, seconds: bytes / bytesPerSecond };
  return claimedBytes > presentBytes ? { ...audio, claimedBytes } : audio;
}

function ascii(head: Buffer, at: number): string {
  return head.toString('latin1', at, at + 4);
}
