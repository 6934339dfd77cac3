import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createEmbeddedUpstream } from '../src/embedded/server.ts';
import { ask } from './helpers/raw-client.ts';
import { isMissing } from './helpers/tools.ts';
import { wavFile } from './helpers/wav.ts';

let app: ReturnType<typeof createEmbeddedUpstream>;
let url: string;

beforeEach(async () => {
  app = createEmbeddedUpstream();
  url = await app.listen({ host: '127.0.0.1', port: 0 });
});

afterEach(() => app.close());

async function shell(line: string): Promise<string> {
  const { stdout } = await promisify(execFile)('sh', ['-c', line], {
    env: { ...process.env, no_proxy: '127.0.0.1' },
  });
  return stdout;
}

const DEMO = /\] demo\.wav: 1\.0 s of 16000 Hz mono audio, 32044 bytes, sha256 [0-9a-f]{64}/;

describe.skipIf(isMissing('curl'))('what is told about curl (needs curl)', () => {
  test('transcribes the demo in one line', async () => {
    const text = await shell(
      `curl -s ${url}/demo.wav | curl -sF 'file=@-;filename=demo.wav' ${url}/transcribe`,
    );
    expect(text).toMatch(new RegExp(`^\\[stand-in, not speech recognition${DEMO.source}\n$`));
  });

  test('transcribes a raw body of unknown length', async () => {
    const text = await shell(
      `curl -s ${url}/demo.wav | curl -sT - -X POST -H 'Content-Type: audio/wav' ${url}/transcribe`,
    );
    expect(text).toContain(' recording.wav: 1.0 s of 16000 Hz mono audio, 32044 bytes,');
  });

  test('runs a job with a line for each step', async () => {
    const events = await shell(`
      path=$(curl -s ${url}/demo.wav | curl -sF 'files=@-;filename=demo.wav' ${url}/gradio_api/upload | cut -d '"' -f 2)
      event=$(curl -s ${url}/gradio_api/call/transcribe -H 'Content-Type: application/json' \
        -d '{"data": [{"path": "'"$path"'"}]}' | cut -d '"' -f 4)
      curl -sN ${url}/gradio_api/call/transcribe/$event`);
    const [name, data] = events.trim().split('\n');
    expect(name).toBe('event: complete');
    const [text, files] = JSON.parse(data?.replace('data: ', '') ?? '');
    expect(text).toMatch(DEMO);
    expect(files.map((file: { orig_name: string }) => file.orig_name)).toEqual([
      'demo.txt',
      'demo.srt',
      'demo.vtt',
      'demo.json',
    ]);
  });
});

function post(body: string | FormData, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/transcribe`, { method: 'POST', body, headers });
}

function form(...files: File[]): FormData {
  const data = new FormData();
  data.append('language', 'sv');
  for (const file of files) data.append('any name', file);
  return data;
}

describe('/transcribe', () => {
  test('gives a line for each file', async () => {
    const text = await (
      await post(form(new File([wavFile()], 'a.wav'), new File(['no audio'], 'b.txt')))
    ).text();
    const [first, second, end] = text.split('\n');
    expect(first).toContain(' a.wav: 1.0 s of ');
    expect(second).toContain(
      ' b.txt: not a WAV file that can be read (it does not begin with RIFF), 8 bytes,',
    );
    expect(end).toBe('');
  });

  test('gives JSON to those who ask for it', async () => {
    const response = await post(form(new File([wavFile()], 'a.wav')), {
      accept: 'application/json',
    });
    expect(await response.json()).toEqual([
      {
        name: 'a.wav',
        size: 32_044,
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
        audio: { sampleRate: 16_000, channels: 1, bitsPerSample: 16, seconds: 1 },
        text: expect.stringContaining('[stand-in, not speech recognition] a.wav: '),
      },
    ]);
  });

  test('puts nothing on the terminal that the terminal obeys', async () => {
    const text = await (await post(form(new File([wavFile()], '\u001b]0;x\u0007.wav')))).text();
    expect(text).toContain(' __0_x_.wav: ');
  });

  test.each([
    ['a form without a file', () => form(), {}, 400, 'There is no file in the upload'],
    ['an empty body', () => '', { 'content-type': 'audio/wav' }, 400, 'There is no file'],
    [
      'a form without a boundary',
      () => 'x',
      { 'content-type': 'multipart/form-data' },
      400,
      'Boundary not found',
    ],
    [
      'a form that is cut off',
      () => '--b\r\nContent-Disposition: form-data; name="f"; filename="a.wav"\r\n\r\nRIFF',
      { 'content-type': 'multipart/form-data; boundary=b' },
      400,
      "The multipart body can't be read",
    ],
  ])('refuses %s', async (_, body, headers, status, message) => {
    const response = await post(body(), headers as Record<string, string>);
    expect(response.status).toBe(status);
    expect(await response.text()).toMatch(new RegExp(`${message}.*\n$`));
  });
});

test('the page says what it is, and how to try it under the name it was reached by', async () => {
  const response = await fetch(url);
  expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
  const html = await response.text();
  expect(html).toContain('<title>Whisper stand-in: not speech recognition</title>');
  expect(html).toContain(`curl -s ${url}/demo.wav`);
});

test('the demo is audio', async () => {
  const response = await fetch(`${url}/demo.wav`);
  expect(response.headers.get('content-type')).toBe('audio/wav');
  const samples = Buffer.from(await response.arrayBuffer()).subarray(44);
  const loudest = Math.max(...Array.from({ length: 16_000 }, (_, i) => samples.readInt16LE(2 * i)));
  expect(loudest).toBeGreaterThan(10_000);
});

test.each(['', 'Host: a\r\nHost: b\r\n', 'Host: a@b\r\n', 'Host: a b\r\n'])(
  'a request with the Host fields %j is malformed',
  async (fields) => {
    const answer = await ask(Number(new URL(url).port), `GET / HTTP/1.1\r\n${fields}\r\n`);
    expect(answer.status).toBe(400);
  },
);
