import { parse } from 'node:path';
import type { Recording } from './recording.ts';

/** A result as it is offered for download. */
export interface ResultFile {
  readonly name: string;
  readonly mimeType: string;
  readonly content: string;
}

const ANNOUNCEMENT = '[stand-in, not speech recognition]';

// A subtitle has to end after it begins, and what is no WAV file has no known length.
const UNKNOWN_SECONDS = 1;

/** The "transcript" of a recording: one line that says what it is, without a line ending. */
export function transcriptOf(recording: Recording): string {
  const { name, size, sha256 } = recording;
  return `${ANNOUNCEMENT} ${name}: ${audioOf(recording)}, ${size} bytes, sha256 ${sha256}`;
}

/** The transcript with the time that it covers before it, as whisper prints it. */
export function timedTranscriptOf(recording: Recording): string {
  return `[${span(recording, '.')}] ${transcriptOf(recording)}`;
}

/** The transcript as text, as SubRip and WebVTT subtitles and as JSON, named after the recording. */
export function resultFilesOf(recording: Recording): ResultFile[] {
  const { name: stem } = parse(recording.name);
  const text = transcriptOf(recording);
  const json = { ...recording, text, segments: [{ start: 0, end: endOf(recording), text }] };
  return [
    { name: `${stem}.txt`, mimeType: 'text/plain', content: `${text}\n` },
    {
      name: `${stem}.srt`,
      mimeType: 'application/x-subrip',
      content: `1\n${span(recording, ',')}\n${text}\n`,
    },
    {
      name: `${stem}.vtt`,
      mimeType: 'text/vtt',
      content: `WEBVTT\n\n${span(recording, '.')}\n${text}\n`,
    },
    {
      name: `${stem}.json`,
      mimeType: 'application/json',
      content: `${JSON.stringify(json, null, 2)}\n`,
    },
  ];
}

function audioOf({ audio }: Recording): string {
  if ('fault' in audio) return `not a WAV file that can be read (${audio.fault})`;
  const { seconds, sampleRate, channels, claimedBytes } = audio;
  const remark = claimedBytes === undefined ? '' : ` (its header claims ${claimedBytes} bytes)`;
  return `${seconds.toFixed(1)} s of ${sampleRate} Hz ${layout(channels)} audio${remark}`;
}

function layout(channels: number): string {
  if (channels === 1) return 'mono';
  return channels === 2 ? 'stereo' : `${channels}-channel`;
}

function endOf({ audio }: Recording): number {
  return 'fault' in audio || audio.seconds === 0 ? UNKNOWN_SECONDS : audio.seconds;
}

function span(recording: Recording, decimal: ',' | '.'): string {
  return `${clock(0, decimal)} --> ${clock(endOf(recording), decimal)}`;
}

function clock(seconds: number, decimal: ',' | '.'): string {
  const ms = Math.max(Math.round(seconds * 1000), seconds > 0 ? 1 : 0);
  const part = (value: number, width = 2) => String(Math.floor(value)).padStart(width, '0');
  const hms = [ms / 3_600_000, (ms / 60_000) % 60, (ms / 1000) % 60].map((value) => part(value));
  return `${hms.join(':')}${decimal}${part(ms % 1000, 3)}`;
}
