/** @type {HTMLFormElement | null} */
const form = document.querySelector('form');
/** @type {HTMLInputElement | null} */
const input = document.querySelector('#token');
const fault = document.querySelector('#login-fault');

/** @param {string} text */
function complain(text) {
  if (fault === null || input === null) return;
  fault.textContent = text;
  input.setAttribute('aria-invalid', 'true');
  input.select();
  input.focus();
}

/** @param {string} token */
async function logIn(token) {
  try {
    const headers = { Authorization: `Bearer ${token}` };
    const { status } = await fetch('/login', { headers });
    if (status === 204) location.replace('/');
    else complain('This is not the token that the proxy has.');
  } catch (error) {
    // A header field takes no other characters than those of ISO 8859-1.
    const isUnsendable = error instanceof TypeError && /[^\x20-\xff]/.test(token);
    complain(
      isUnsendable
        ? 'This is not the token that the proxy has.'
        : 'The proxy does not answer. Is it running?',
    );
  }
}

form?.addEventListener('submit', (event) => {
  event.preventDefault();
  if (input !== null) logIn(input.value.trim());
});
input?.focus();
