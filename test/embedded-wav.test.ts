import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { safeName } from '../src/embedded/recording.ts';
import { transcriptOf } from '../src/embedded/transcript.ts';
import { readWav } from '../src/embedded/wav.ts';
import { riffChunk, wavFile, wavHeader } from './helpers/wav.ts';

function read(file: Buffer) {
  return readWav(file, file.length);
}

describe('readWav', () => {
  test.each([
    ['16 kHz mono', {}, { sampleRate: 16_000, channels: 1, bitsPerSample: 16, seconds: 1 }],
    [
      '44.1 kHz stereo of 24 bit',
      { sampleRate: 44_100, channels: 2, bitsPerSample: 24, dataBytes: 264_600 * 2 },
      { sampleRate: 44_100, channels: 2, bitsPerSample: 24, seconds: 2 },
    ],
    [
      'a chunk of odd length before the audio',
      { extra: riffChunk('LIST', Buffer.from('odd')) },
      { sampleRate: 16_000, channels: 1, bitsPerSample: 16, seconds: 1 },
    ],
    [
      'a length that is more than is there, as a recorder that was cut off leaves it',
      { claimedBytes: 0xffffffff },
      {
        sampleRate: 16_000,
        channels: 1,
        bitsPerSample: 16,
        seconds: 1,
        claimedBytes: 0xffffffff,
      },
    ],
    [
      'a length that is less than is there',
      { claimedBytes: 16_000 },
      { sampleRate: 16_000, channels: 1, bitsPerSample: 16, seconds: 0.5 },
    ],
  ])('reads %s', (_, shape, audio) => {
    expect(read(wavFile(shape))).toEqual(audio);
  });

  test('reads the length of a large file from its head alone', () => {
    const head = wavHeader({ dataBytes: 3_200_000_000 });
    expect(readWav(head, head.length + 3_200_000_000)).toMatchObject({ seconds: 100_000 });
  });

  test('reads RF64, whose real length stands elsewhere', () => {
    const file = wavFile({ claimedBytes: 0xffffffff });
    file.write('RF64', 0);
    expect(read(file)).toMatchObject({ seconds: 1 });
  });

  const wave = (...chunks: Buffer[]) =>
    riffChunk('RIFF', Buffer.concat([Buffer.from('WAVE'), ...chunks]));
  test.each([
    ['nothing', Buffer.alloc(0), 'it is empty'],
    ['text', Buffer.from('just some text'), 'it does not begin with RIFF'],
    ['three bytes', Buffer.from('RIF'), 'it does not begin with RIFF'],
    ['an AVI file', riffChunk('RIFF', Buffer.from('AVI ')), 'another kind than WAVE'],
    ['a RIFF header that is cut off', Buffer.from('RIFF\0\0'), 'another kind than WAVE'],
    ['a header that is cut off', wavHeader().subarray(0, 30), 'no data chunk'],
    ['data without a format', wave(riffChunk('data', Buffer.alloc(8))), 'before its format'],
    [
      'a short format',
      wave(riffChunk('fmt ', Buffer.alloc(8)), riffChunk('data', Buffer.alloc(8))),
      'format chunk is too short',
    ],
    ['a chunk that ends nowhere', wave(riffChunk('LIST', Buffer.alloc(8), 2 ** 31)), 'no data'],
    ['no channels', wavFile({ channels: 0 }), 'no channels'],
    ['a sample rate of nothing', wavFile({ sampleRate: 0 }), 'no channels, no sample rate'],
  ])('says what is wrong with %s', (_, file, fault) => {
    expect(read(file)).toEqual({ fault: expect.stringContaining(fault) });
  });

  test('throws at nothing, wherever a WAV file is cut or damaged', () => {
    fc.assert(
      fc.property(fc.nat(60), fc.nat(60), fc.nat(255), (length, at, value) => {
        const file = wavFile().subarray(0, length);
        if (at < file.length) file[at] = value;
        const audio = read(file);
        if (!('fault' in audio)) expect(Number.isFinite(audio.seconds)).toBe(true);
      }),
    );
  });
});

test.each([
  ['recording.wav', 'recording.wav'],
  ['../../etc/passwd', 'passwd'],
  ['C:\\Users\\me\\talk.wav', 'talk.wav'],
  ['Bjørn (1) 語.wav', 'Bjørn (1) 語.wav'],
  ['a\u001b[31m\r\nb#?%.wav', 'a__31m__b___.wav'],
  ['', 'recording'],
  ['..', 'recording'],
  ['"?".wav', 'recording.wav'],
  [`x.${'𝒜'.repeat(60)}`, `x.${'𝒜'.repeat(49)}`],
  [`${'x'.repeat(500)}.wav`, `${'x'.repeat(96)}.wav`],
])('the name %j becomes %j', (name, safe) => {
  expect(safeName(name)).toBe(safe);
});

test('a header that claims too much is mentioned in the transcript', () => {
  const audio = read(wavFile({ claimedBytes: 99_999, channels: 2 }));
  const text = transcriptOf({ name: 'cut.wav', size: 32_044, sha256: 'ab', audio });
  expect(text).toBe(
    '[stand-in, not speech recognition] cut.wav: 0.5 s of 16000 Hz stereo audio' +
      ' (its header claims 99999 bytes), 32044 bytes, sha256 ab',
  );
});
