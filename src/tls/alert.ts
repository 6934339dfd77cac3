// RFC 8446, section 6.2.
const CODES = { access_denied: 49, unrecognized_name: 112 };

const ALERT = 21;
const FATAL = 2;

export type AlertDescription = keyof typeof CODES;

/** A record with a fatal alert (RFC 8446, sections 5.1 and 6), which every version understands. */
export function alert(description: AlertDescription): Buffer {
  return Buffer.from([ALERT, 3, 3, 0, 2, FATAL, CODES[description]]);
}
