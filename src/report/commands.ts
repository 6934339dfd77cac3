/** Puts a changed env file into force. */
export const RELOAD_COMMAND = 'podman exec whisper-proxy whisper-proxy reload';

const ALLOW_COMMAND = 'podman exec whisper-proxy whisper-proxy allow';
const TIME = '30m';

/**
 * The command that allows for half an hour what a line of the env file would allow for good.
 * @param line as in `EGRESS_ALLOW_X=a.example b.example:80`.
 */
export function allowCommand(line: string): string {
  const rules = line
    .slice(line.indexOf('=') + 1)
    .split(/[\s,]+/)
    .filter((rule) => rule !== '');
  return [ALLOW_COMMAND, ...rules.map(quote), '--for', TIME].join(' ');
}

/** A word as a POSIX shell takes it. */
function quote(word: string): string {
  return /^[\w.:/-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
