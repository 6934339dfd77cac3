import { create, setText } from './dom.js';

const COPIED_MS = 2_000;

/** A text to copy, and the button that does. */
export class Copy {
  element = create('span', 'copied');
  #text = create('code', 'line');
  #button = create('button', 'copy', 'Copy');

  /** @param {(text: string) => void} say tells who cannot see it. */
  constructor(say) {
    this.#button.type = 'button';
    this.#button.onclick = () => this.#copy(say);
    this.element.append(this.#text, this.#button);
  }

  /** @param {string} text */
  set(text) {
    setText(this.#text, text);
    this.#button.setAttribute('aria-label', `Copy ${text}`);
  }

  /** @param {(text: string) => void} say */
  async #copy(say) {
    try {
      // Beyond localhost and without TLS there is no clipboard.
      await navigator.clipboard.writeText(this.#text.textContent ?? '');
      this.#answer('Copied');
      say('Copied');
    } catch {
      getSelection()?.selectAllChildren(this.#text);
      this.#answer('Selected');
      say('The line is selected; copy it with the keyboard');
    }
  }

  /** @param {string} text */
  #answer(text) {
    setText(this.#button, text);
    setTimeout(() => setText(this.#button, 'Copy'), COPIED_MS);
  }
}
