import { randomUUID } from 'node:crypto';
import { API_PREFIX, MODEL } from './gradio-config.ts';
import type { Limits } from './limits.ts';
import type { FileData, Outcome } from './outcome.ts';
import { type Recording, safeName } from './recording.ts';
import type { Store } from './store.ts';
import { type ResultFile, resultFilesOf, timedTranscriptOf, transcriptOf } from './transcript.ts';

/**
 * Does what `/transcribe` is asked for. It takes no time, and it reads nothing but what the store
 * remembers of the uploads; the result files are added to the store.
 *
 * @param inputs the recordings (one, or a list), the model and whether to tell times, unchecked
 * @param root the origin under which the client reaches the results
 */
export function transcribe(
  inputs: readonly unknown[],
  store: Store,
  root: string,
  limits: Limits,
): Outcome {
  const [files, model, timestamps] = inputs;
  const uploads = Array.isArray(files) ? files : [files];
  if (uploads.length > limits.files) return { error: `More than ${limits.files} files in a job.` };
  // A client that is given fewer inputs than there are sends null for the rest.
  if ((model ?? MODEL) !== MODEL) return { error: `There is no other model than "${MODEL}".` };

  const recordings = uploads.map((upload) => uploadedRecording(upload, store));
  if (recordings.length === 0 || !recordings.every((recording) => recording !== undefined)) {
    return {
      error:
        'No such upload. The stand-in fetches nothing and soon forgets: upload the file first.',
    };
  }
  const print = timestamps === true ? timedTranscriptOf : transcriptOf;
  const results = recordings.flatMap(resultFilesOf);
  return {
    data: [recordings.map(print).join('\n'), results.map((file) => publish(file, store, root))],
  };
}

/** Finds what is remembered of an upload; its original name counts more than the uploaded one. */
function uploadedRecording(upload: unknown, store: Store): Recording | undefined {
  if (typeof upload !== 'object' || upload === null || !('path' in upload)) return undefined;
  const recording = store.uploads.get(String(upload.path));
  const given = 'orig_name' in upload ? upload.orig_name : undefined;
  if (!recording || typeof given !== 'string' || given === '') return recording;
  return { ...recording, name: safeName(given) };
}

function publish(file: ResultFile, store: Store, root: string): FileData {
  const folder = `results/${randomUUID()}`;
  const path = `${folder}/${file.name}`;
  store.results.set(path, file);
  return {
    path,
    url: `${root}${API_PREFIX}/file=${folder}/${encodeURIComponent(file.name)}`,
    size: Buffer.byteLength(file.content),
    orig_name: file.name,
    mime_type: file.mimeType,
    is_stream: false,
    meta: { _type: 'gradio.FileData' },
  };
}
