/** Puts a changed env file into force. */
export const RELOAD_COMMAND = 'podman exec whisper-proxy whisper-proxy reload';

const ALLOW_COMMAND = 'podman exec whisper-proxy whisper-proxy allow';
const TIME = '30m';

/**
 * The command that allows for half an hour what lines of the env file would allow for good.
 * @param line as in `EGRESS_ALLOW_X=a.example b.example:80`.
 * @param limit as in `EGRESS_MAX_UPLOAD_X=256KiB`, or null.
 */
export function allowCommand(line: string, limit: string | null): string {
  const rules = assigned(line)
    .split(/[\s,]+/)
    .filter((rule) => rule !== '');
  const uploads = limit === null ? [] : ['--max-upload', assigned(limit)];
  return [ALLOW_COMMAND, ...rules.map(quote), '--for', TIME, ...uploads].join(' ');
}

function assigned(line: string): string {
  return line.slice(line.indexOf('=') + 1);
}

/** A word as a POSIX shell takes it. */
function quote(word: string): string {
  return /^[\w.:/-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
