import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { Client } from '@gradio/client';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createEmbeddedUpstream } from '../src/embedded/server.ts';
import { soon } from './helpers/proxy.ts';
import { wavFile } from './helpers/wav.ts';

interface GradioFile {
  path: string;
  url: string;
  orig_name: string;
  size: number;
  mime_type: string;
}

let app: ReturnType<typeof createEmbeddedUpstream>;
let url: string;

beforeEach(async () => {
  app = createEmbeddedUpstream();
  url = await app.listen({ host: '127.0.0.1', port: 0 });
});

afterEach(() => app.close());

/** Connects, and waits until the heartbeat is open. */
async function connect(): Promise<Client> {
  const client = await Client.connect(url);
  await soon(() => expect(client.heartbeat_event?.readyState).toBe(1));
  return client;
}

async function upload(client: Client, file: File): Promise<{ path: string; meta: object }> {
  const { files, error } = await client.upload_files(url, [file]);
  if (!files?.[0]) throw new Error(error);
  return { path: files[0], meta: { _type: 'gradio.FileData' } };
}

async function transcribe(client: Client, inputs: unknown[] | Record<string, unknown>) {
  const { data } = await client.predict('/transcribe', inputs);
  const [text, files] = data as [string, GradioFile[]];
  return { text, files };
}

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

describe('@gradio/client', () => {
  test('finds the endpoint and its parameters', async () => {
    const client = await connect();
    expect(client.config).toMatchObject({
      title: 'Whisper stand-in: not speech recognition',
      protocol: 'sse_v3',
      api_prefix: '/gradio_api',
    });
    const { named_endpoints: endpoints } = await client.view_api();
    const parameters = endpoints['/transcribe']?.parameters.map(
      (each: { parameter_name: string }) => each.parameter_name,
    );
    expect(parameters).toEqual(['files', 'model', 'timestamps']);
    expect(endpoints['/transcribe']?.returns).toHaveLength(2);
  });

  test('gets a text and result files that are named after the recording', async () => {
    const client = await connect();
    const wav = wavFile({ sampleRate: 44_100, channels: 2, dataBytes: 176_400 * 3 });
    const file = await upload(client, new File([wav], 'Bjørn (1).wav'));
    const { text, files } = await transcribe(client, { files: [file] });

    const transcript =
      '[stand-in, not speech recognition] Bjørn (1).wav: 3.0 s of 44100 Hz stereo audio,' +
      ` ${wav.length} bytes, sha256 ${sha256(wav)}`;
    expect(text).toBe(transcript);
    const contents = new Map<string, string>();
    for (const result of files) {
      const response = await fetch(result.url);
      const body = await response.text();
      expect(response.headers.get('content-type')).toBe(`${result.mime_type}; charset=utf-8`);
      expect(Buffer.byteLength(body)).toBe(result.size);
      contents.set(result.orig_name, body);
    }
    expect([...contents.keys()]).toEqual([
      'Bjørn (1).txt',
      'Bjørn (1).srt',
      'Bjørn (1).vtt',
      'Bjørn (1).json',
    ]);
    expect(contents.get('Bjørn (1).txt')).toBe(`${transcript}\n`);
    expect(contents.get('Bjørn (1).srt')).toBe(`1\n00:00:00,000 --> 00:00:03,000\n${transcript}\n`);
    expect(contents.get('Bjørn (1).vtt')).toBe(
      `WEBVTT\n\n00:00:00.000 --> 00:00:03.000\n${transcript}\n`,
    );
    expect(JSON.parse(contents.get('Bjørn (1).json') ?? '')).toMatchObject({
      name: 'Bjørn (1).wav',
      sha256: sha256(wav),
      segments: [{ start: 0, end: 3, text: transcript }],
    });
  });

  test('takes several recordings, a single one, a name told for an upload, and timestamps', async () => {
    const client = await connect();
    const one = await upload(client, new File([wavFile()], 'one.wav'));
    const two = await upload(client, new File([wavFile()], 'two.wav'));

    const both = await transcribe(client, { files: [one, two] });
    expect(both.text.split('\n')).toEqual([
      expect.stringContaining(' one.wav: '),
      expect.stringContaining(' two.wav: '),
    ]);
    expect(both.files).toHaveLength(8);

    const renamed = { ...two, orig_name: '/home/me/talk.wav' };
    const single = await transcribe(client, [renamed, 'stand-in', true]);
    expect(single.text).toMatch(
      /^\[00:00:00\.000 --> 00:00:01\.000\] \[stand-in, .*\] talk\.wav: /,
    );
    expect(single.files[0]?.orig_name).toBe('talk.txt');
  });

  test('uploads a blob by itself; it does not tell the name', async () => {
    const client = await connect();
    const { text } = await transcribe(client, [new File([wavFile()], 'lost.wav')]);
    expect(text).toContain(' blob: 1.0 s of 16000 Hz mono audio, 32044 bytes,');
  });

  test('gets the answers of jobs that are submitted together', async () => {
    const client = await connect();
    const names = ['a.wav', 'b.wav', 'c.wav', 'd.wav'];
    const files = await Promise.all(
      names.map((name) => upload(client, new File([wavFile()], name))),
    );
    const answers = await Promise.all(files.map((file) => transcribe(client, [file])));
    expect(answers.map(({ files: [first] }) => first?.orig_name)).toEqual([
      'a.txt',
      'b.txt',
      'c.txt',
      'd.txt',
    ]);
  });

  test.each([
    ['a path that was never uploaded', [{ path: '/etc/passwd' }], 'No such upload'],
    ['a URL', [{ path: 'http://127.0.0.1/x.wav', url: 'x' }], 'The stand-in fetches nothing'],
    ['no file', [null], 'No such upload'],
    ['an empty list', [[]], 'No such upload'],
    ['too many files', [Array(21).fill({ path: 'x' })], 'More than 20 files in a job.'],
    ['another model', [[], 'large-v3'], 'no other model than "stand-in"'],
  ])('is told why a job with %s fails', async (_, inputs, message) => {
    const client = await connect();
    await expect(client.predict('/transcribe', inputs)).rejects.toMatchObject({
      stage: 'error',
      message: expect.stringContaining(message),
    });
  });

  test('can cancel a job, which is done all the same', async () => {
    const client = await connect();
    const file = await upload(client, new File([wavFile()], 'x.wav'));
    const warn = vi.spyOn(console, 'warn');
    const job = client.submit('/transcribe', [file]);
    const first = job[Symbol.asyncIterator]().next();
    await job.cancel();
    expect(await first).toMatchObject({ value: { type: 'data' } });
    expect(warn).not.toHaveBeenCalled();
  });

  test('uploads 200 MiB', async () => {
    const client = await connect();
    const mebibyte = Buffer.alloc(2 ** 20);
    const content = new File([wavFile(), ...Array(200).fill(mebibyte)], 'long.wav');
    const { text } = await transcribe(client, [await upload(client, content)]);
    expect(text).toContain(` ${32_044 + 200 * 2 ** 20} bytes,`);
  });
});

describe('the root that is told', () => {
  /** fetch sets Host itself. */
  function config(
    headers: Record<string, string>,
  ): Promise<{ status: number | undefined; root: unknown }> {
    return new Promise((resolve, reject) => {
      const sent = request(`${url}/config`, { headers }, async (response) => {
        let body = '';
        for await (const chunk of response) body += chunk;
        resolve({ status: response.statusCode, root: JSON.parse(body).root });
      });
      sent.on('error', reject).end();
    });
  }

  test.each([
    ['Host', { host: 'whisper:7860' }, 'http://whisper:7860'],
    ['an IPv6 address', { host: '[::1]:7860' }, 'http://[::1]:7860'],
    [
      'X-Forwarded-Host and -Proto, the first of them',
      { host: 'a', 'x-forwarded-host': 'visp.example, b', 'x-forwarded-proto': 'https, http' },
      'https://visp.example',
    ],
    ['Host with X-Forwarded-Proto', { host: 'c:1', 'x-forwarded-proto': 'https' }, 'https://c:1'],
  ])('is made from %s', async (_, headers, root) => {
    expect(await config(headers)).toEqual({ status: 200, root });
  });

  test.each(['a/b', 'user@host', '"><script>', 'host:port'])(
    'is not made from %j',
    async (host) => {
      expect((await config({ host })).status).toBe(400);
    },
  );

  test('is where the result files are', async () => {
    const client = await connect();
    const file = await upload(client, new File([wavFile()], 'x.wav'));
    const answer = await fetch(`${url}/gradio_api/call/transcribe`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-forwarded-host': 'whisper:7860' },
      body: JSON.stringify({ data: [file] }),
    });
    const { event_id: id } = (await answer.json()) as { event_id: string };
    const events = await (await fetch(`${url}/gradio_api/call/transcribe/${id}`)).text();
    expect(events).toMatch(
      /"url":"http:\/\/whisper:7860\/gradio_api\/file=results\/[\w-]+\/x\.txt"/,
    );
  });
});
