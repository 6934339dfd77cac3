/** A line of a unit file, with the section that it stands in. */
export interface Entry {
  section: string;
  key: string;
  value: string;
}

/** A quadlet file, as far as tests look into it. */
export class UnitFile {
  readonly entries: Entry[] = [];

  constructor(text: string) {
    let section = '';
    // A backslash at the end of a line goes on with the next.
    for (const line of text.replaceAll('\\\n', ' ').split('\n')) {
      if (line.trim() === '' || line.startsWith('#')) continue;
      const header = /^\[(.+)\]$/.exec(line);
      if (header) {
        section = header[1] ?? '';
        continue;
      }
      const [key, value] = splitPair(line);
      this.entries.push({ section, key, value });
    }
  }

  /** Every value of a key. */
  all(key: string): string[] {
    return this.entries.filter((entry) => entry.key === key).map(({ value }) => value);
  }

  /** The `NAME=value` words of a key that takes several, as Environment= does. */
  pairs(key: string): Map<string, string> {
    return new Map(this.#words(key).map(splitPair));
  }

  /** Every value that PodmanArgs= gives an option. */
  podmanOption(name: string): string[] {
    return this.#words('PodmanArgs')
      .map(splitPair)
      .filter(([option]) => option === `--${name}`)
      .map(([, value]) => value);
  }

  networks(): string[] {
    return this.all('Network').map((value) => value.split(':', 1)[0] ?? '');
  }

  /** The options that the container has on a network; empty if it is not on it. */
  network(name: string): Map<string, string> {
    const entry = this.all('Network').find((value) => value.startsWith(`${name}:`));
    const options = entry?.slice(name.length + 1) ?? '';
    return new Map(options === '' ? [] : options.split(',').map(splitPair));
  }

  #words(key: string): string[] {
    return this.all(key).flatMap((value) => value.split(/\s+/));
  }
}

/** `name=value`, split at the first equals sign. */
export function splitPair(text: string): [name: string, value: string] {
  const at = text.indexOf('=');
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}
