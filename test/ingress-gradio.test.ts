import { readFileSync } from 'node:fs';
import { Client } from '@gradio/client';
import { afterEach, describe, expect, test } from 'vitest';
import { Cli, LOOPBACK } from './helpers/cli.ts';
import { ask } from './helpers/ingress.ts';
import { soon } from './helpers/proxy.ts';
import { wavFile } from './helpers/wav.ts';

const MIB = 2 ** 20;

let cli: Cli;

afterEach(() => cli.kill());

/** The built program before the stand-in. @returns its origin by a name that the stand-in has not. */
async function start(): Promise<{ root: string; pid: number }> {
  cli = new Cli([], { ...LOOPBACK, UPSTREAM: 'embedded' });
  const { ingress } = await cli.addresses();
  return { root: `http://localhost:${ingress.split(':')[1]}`, pid: cli.child.pid ?? 0 };
}

/** The most memory that a process has had resident so far, in MiB. */
function peakMemory(pid: number): number {
  const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}

async function transcribe(root: string, file: File) {
  const client = await Client.connect(root);
  await soon(() => expect(client.heartbeat_event?.readyState).toBe(1));
  const { files: paths } = await client.upload_files(root, [file]);
  const input = [{ path: paths?.[0], meta: { _type: 'gradio.FileData' } }];
  const { data } = await client.predict('/transcribe', { files: input });
  client.close();
  const [text, files] = data as [string, { orig_name: string; url: string }[]];
  return { text, files };
}

describe('@gradio/client, by a name that is not the upstream’s', () => {
  test('is told that name as the root', async () => {
    const { root } = await start();
    const { body } = await ask(`${root}/config`);
    expect(JSON.parse(String(body)).root).toBe(root);
    const named = await ask(`${root}/config`, { headers: { host: 'whisper:7860' } });
    expect(JSON.parse(String(named.body)).root).toBe('http://whisper:7860');
  });

  test('uploads 200 MB and gets its result files, in constant memory', async () => {
    const { root, pid } = await start();
    const small = await transcribe(root, new File([wavFile()], 'small.wav'));
    expect(small.text).toContain(' small.wav: 1.0 s of 16000 Hz mono audio, ');
    const before = peakMemory(pid);

    const dataBytes = 200 * MIB;
    const wav = wavFile({ dataBytes });
    const { text, files } = await transcribe(root, new File([wav], 'Bjørn (1).wav'));
    // The stand-in runs in the same process; together they hold less than the upload.
    expect(peakMemory(pid) - before).toBeLessThan(100);

    expect(text).toContain(` Bjørn (1).wav: 6553.6 s of 16000 Hz mono audio, ${wav.length} bytes,`);
    expect(files.map(({ orig_name: name }) => name)).toEqual([
      'Bjørn (1).txt',
      'Bjørn (1).srt',
      'Bjørn (1).vtt',
      'Bjørn (1).json',
    ]);
    for (const { url } of files) {
      expect(url.startsWith(`${root}/gradio_api/file=`)).toBe(true);
      expect(await (await fetch(url)).text()).toContain('not speech recognition');
    }
  });
});
