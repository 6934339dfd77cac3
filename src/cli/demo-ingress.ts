import { FormData, fetch } from 'undici';

/**
 * Has a recording transcribed the way a Gradio client does: upload, call, result.
 * @param origin where ingress is.
 * @returns the transcript.
 * @throws Error that says which step failed.
 */
export async function transcribe(origin: string, wav: Buffer): Promise<string> {
  const form = new FormData();
  form.append('files', new Blob([new Uint8Array(wav)], { type: 'audio/wav' }), 'demo.wav');
  const [path] = (await json(
    fetch(`${origin}/gradio_api/upload`, { method: 'POST', body: form }),
  )) as string[];

  const call = `${origin}/gradio_api/call/transcribe`;
  const files = [{ path, orig_name: 'demo.wav', meta: { _type: 'gradio.FileData' } }];
  const posted = fetch(call, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ data: [files, 'stand-in', false] }),
  });
  const { event_id } = (await json(posted)) as { event_id: string };
  const events = await (await fetch(`${call}/${event_id}`)).text();
  const [, result] = /event: complete\s+data: (.*)/.exec(events) ?? [];
  if (result === undefined) throw new Error(`no result came: ${events.slice(0, 200)}`);
  return String((JSON.parse(result) as unknown[])[0]);
}

async function json(answer: ReturnType<typeof fetch>): Promise<unknown> {
  const response = await answer;
  if (!response.ok) throw new Error(`${response.url} answered ${response.status}`);
  return response.json();
}
