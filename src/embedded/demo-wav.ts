const HEADER_BYTES = 44;
const BYTES_PER_SAMPLE = 2;

/**
 * A tone as a WAV file: mono, 16 bit, at a third of full volume.
 *
 * @param seconds its length
 * @param sampleRate in Hz
 * @param pitch in Hz
 */
export function toneWav(seconds: number, sampleRate: number, pitch: number): Buffer {
  const samples = Math.round(seconds * sampleRate);
  const dataBytes = samples * BYTES_PER_SAMPLE;
  const file = Buffer.alloc(HEADER_BYTES + dataBytes);
  file.write('RIFF', 0, 'latin1');
  file.writeUInt32LE(file.length - 8, 4);
  file.write('WAVEfmt ', 8, 'latin1');
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(1, 20); // PCM
  file.writeUInt16LE(1, 22); // channels
  file.writeUInt32LE(sampleRate, 24);
  file.writeUInt32LE(sampleRate * BYTES_PER_SAMPLE, 28);
  file.writeUInt16LE(BYTES_PER_SAMPLE, 32);
  file.writeUInt16LE(8 * BYTES_PER_SAMPLE, 34);
  file.write('data', 36, 'latin1');
  file.writeUInt32LE(dataBytes, 40);
  for (let i = 0; i < samples; i++) {
    const value = Math.sin((2 * Math.PI * pitch * i) / sampleRate) / 3;
    file.writeInt16LE(Math.round(value * 0x7fff), HEADER_BYTES + i * BYTES_PER_SAMPLE);
  }
  return file;
}
