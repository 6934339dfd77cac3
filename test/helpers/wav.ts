/** What the header of a generated WAV file says; a second of 16 kHz mono 16-bit audio unless told. */
export interface WavShape {
  sampleRate?: number;
  channels?: number;
  bitsPerSample?: number;
  /** Bytes of audio that follow the header. */
  dataBytes?: number;
  /** Bytes of audio that the header claims, if it lies. */
  claimedBytes?: number;
  /** Chunks between the format and the data. */
  extra?: Buffer;
}

/** A RIFF chunk with its padding. */
export function riffChunk(id: string, content: Buffer, claimedBytes = content.length): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(claimedBytes);
  return Buffer.concat([Buffer.from(id), length, content, Buffer.alloc(content.length % 2)]);
}

/** The beginning of a WAV file, up to where its audio begins. */
export function wavHeader(shape: WavShape = {}): Buffer {
  const { sampleRate = 16_000, channels = 1, bitsPerSample = 16 } = shape;
  const { dataBytes = 32_000, extra = Buffer.alloc(0) } = shape;
  const frame = (channels * bitsPerSample) / 8;
  const format = Buffer.alloc(16);
  format.writeUInt16LE(1, 0);
  format.writeUInt16LE(channels, 2);
  format.writeUInt32LE(sampleRate, 4);
  format.writeUInt32LE(sampleRate * frame, 8);
  format.writeUInt16LE(frame, 12);
  format.writeUInt16LE(bitsPerSample, 14);
  const data = riffChunk('data', Buffer.alloc(0), shape.claimedBytes ?? dataBytes);
  const body = Buffer.concat([Buffer.from('WAVE'), riffChunk('fmt ', format), extra, data]);
  return riffChunk('RIFF', body, Math.min(body.length + dataBytes, 0xffffffff)).subarray(
    0,
    8 + body.length,
  );
}

/** A WAV file of silence. */
export function wavFile(shape: WavShape = {}): Buffer {
  return Buffer.concat([wavHeader(shape), Buffer.alloc(shape.dataBytes ?? 32_000)]);
}
