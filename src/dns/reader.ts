/** RFC 1035, section 2.3.4. */
const MAX_LABEL_BYTES = 63;
const MAX_NAME_BYTES = 255;

/** Bytes that are not what the protocol wants there. */
export class Malformed extends Error {
  readonly code = 'MALFORMED';
}

/** A name as it was sent. */
export interface Name {
  /** Without the root's; one character for each byte. */
  labels: readonly string[];
  /** The labels with dots between; a dot or backslash within a label is escaped. The root's is empty. */
  text: string;
}

/** Reads a message from one end to the other, and never beyond it or back. */
export class Reader {
  readonly #bytes: Buffer;
  #offset: number;

  constructor(bytes: Buffer, offset: number) {
    this.#bytes = bytes;
    this.#offset = offset;
  }

  get offset(): number {
    return this.#offset;
  }

  get atEnd(): boolean {
    return this.#offset === this.#bytes.length;
  }

  /** @throws Malformed if there are not that many bytes left; so do all the others. */
  take(length: number): Buffer {
    const start = this.#offset;
    if (start + length > this.#bytes.length) throw new Malformed();
    this.#offset += length;
    return this.#bytes.subarray(start, this.#offset);
  }

  uint16(): number {
    return this.take(2).readUInt16BE(0);
  }

  /**
   * Reads a name (RFC 1035, section 3.1). A compression pointer is malformed: before the first name
   * of a query there is no other that it could point to, and the records behind it have no need of one.
   */
  name(): Name {
    const start = this.#offset;
    const labels: string[] = [];
    for (let length = this.#uint8(); length > 0; length = this.#uint8()) {
      if (length > MAX_LABEL_BYTES) throw new Malformed();
      labels.push(this.take(length).toString('latin1'));
    }
    if (this.#offset - start > MAX_NAME_BYTES) throw new Malformed();
    return { labels, text: labels.map(escapeLabel).join('.') };
  }

  #uint8(): number {
    return this.take(1).readUInt8(0);
  }
}

function escapeLabel(label: string): string {
  return label.replace(/[\\.]/g, '\\$&');
}
