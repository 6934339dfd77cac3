const GRADIO =
  "Gradio's version check and analytics; Environment=GRADIO_ANALYTICS_ENABLED=False in whisper.container turns them off";

const PYANNOTE =
  "pyannote's usage metrics; Environment=PYANNOTE_METRICS_ENABLED=false in whisper.container turns them off";

/**
 * What programs in whisper ask for without needing it. Hugging Face's telemetry is not among it: it
 * goes to the host that models come from.
 */
const NOISE = new Map([
  // gradio-app/gradio: ANALYTICS_URL and PKG_VERSION_URL in gradio/analytics.py.
  ['api.gradio.app', GRADIO],
  // gradio-app/gradio up to 4: get_local_ip_address() in gradio/utils.py, called by the analytics.
  ['checkip.amazonaws.com', GRADIO],
  // pyannote/pyannote-audio from 4.0: pyannote/audio/telemetry/config.yaml; on by default.
  ['otel.pyannote.ai', PYANNOTE],
]);

/** What is behind a request that nothing needs, and how to turn it off; or null. */
export function explainNoise(host: string): string | null {
  return NOISE.get(host) ?? null;
}
