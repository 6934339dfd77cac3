import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const QUADLETS = fileURLToPath(new URL('../../quadlets', import.meta.url));
const STUBS = fileURLToPath(new URL('../fixtures/fake-host', import.meta.url));

const CALLER = fileURLToPath(new URL('../fixtures/install-function.bash', import.meta.url));

/** Someone's machine: a home folder, a checkout, and stand-ins for podman and systemd that write down what they are asked. */
export class FakeHost {
  readonly root = mkdtempSync(join(tmpdir(), 'whisper proxy '));
  readonly home = join(this.root, 'home');
  readonly units = join(this.home, '.config/containers/systemd');
  readonly state = join(this.home, '.local/state/whisper-proxy');
  readonly checkout = join(this.root, 'checkout');
  readonly quadlets = join(this.checkout, 'quadlets');
  readonly #fake = join(this.root, 'fake');

  constructor() {
    for (const folder of [this.home, this.#fake]) mkdirSync(folder);
    for (const folder of ['images', 'networks', 'states']) mkdirSync(join(this.#fake, folder));
    cpSync(QUADLETS, this.quadlets, { recursive: true });
    writeFileSync(join(this.checkout, 'Containerfile'), '');
    this.set('next-image', 'image1');
  }

  /** Runs the installer; its output and what it asked podman and systemd for. */
  install(...args: string[]) {
    return this.installUnder('022', ...args);
  }

  installUnder(umask: string, ...args: string[]) {
    writeFileSync(join(this.#fake, 'calls'), '');
    const script = 'umask "$1"; shift; exec "$@"';
    return this.#bash(script, umask, join(this.quadlets, 'install'), ...args);
  }

  /** Calls one function of the installer, which needs these of its parts. */
  call(words: string, ...files: string[]) {
    writeFileSync(join(this.#fake, 'calls'), '');
    const paths = files.map((file) => join(this.quadlets, 'install.d', file));
    return this.#bash('exec bash "$@"', CALLER, words, ...paths);
  }

  #bash(script: string, ...args: string[]) {
    const { status, stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', ...args], {
      encoding: 'utf8',
      cwd: this.root,
      env: {
        PATH: `${STUBS}:${process.env.PATH}`,
        HOME: this.home,
        FAKE: this.#fake,
        XDG_RUNTIME_DIR: join(this.#fake, 'run'),
        TMPDIR: this.#fake,
      },
    });
    return { status, stdout, stderr, calls: this.get('calls').split('\n') };
  }

  /** A file of a unit folder, or another below the home folder. */
  read(name: string): string {
    return readFileSync(join(this.units, name), 'utf8');
  }

  write(name: string, text: string): string {
    const path = join(this.units, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  /** What the checkout has of a file, changed as a later version would have it. */
  newVersion(name: string): string {
    const path = join(this.quadlets, name);
    const text = `${readFileSync(path, 'utf8')}# newer\n`;
    writeFileSync(path, text);
    return text;
  }

  /** How the stand-ins answer: see the scripts in fixtures/fake-host. */
  set(name: string, value: string): void {
    const path = join(this.#fake, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, value);
  }

  unset(name: string): void {
    rmSync(join(this.#fake, name), { recursive: true });
  }

  get(name: string): string {
    const path = join(this.#fake, name);
    return existsSync(path) ? readFileSync(path, 'utf8').trim() : '';
  }

  image(tag: string): string {
    return this.get(`images/localhost_whisper-proxy:${tag}`);
  }

  /** Every path below the home folder, with what is in it and who may read it. */
  tree(folder = this.home): Record<string, string> {
    return Object.fromEntries(
      readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .sort()
        .map((name) => {
          const path = join(folder, name);
          const { mode } = lstatSync(path);
          const text = lstatSync(path).isFile() ? readFileSync(path, 'utf8') : '';
          return [name, `${(mode & 0o777).toString(8)} ${text}`];
        }),
    );
  }

  /** Applies a diff to a file, as the installer says. @returns patch's exit status */
  patch(file: string, diff: string): number | null {
    return spawnSync('patch', [file], { input: diff }).status;
  }

  remove(): void {
    rmSync(this.root, { recursive: true });
  }
}
