const GRADIO =
  "Gradio's version check and analytics; Environment=GRADIO_ANALYTICS_ENABLED=False in whisper.container turns them off";

/**
 * What programs in whisper ask for without needing it. Hugging Face's telemetry is not among it: it
 * goes to the host that models come from.
 */
const NOISE = new Map([
  ['api.gradio.app', GRADIO],
  ['checkip.amazonaws.com', GRADIO],
]);

/** What is behind a request that nothing needs, and how to turn it off; or null. */
export function explainNoise(host: string): string | null {
  return NOISE.get(host) ?? null;
}
