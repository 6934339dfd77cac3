/** The hosts that one thing comes from, all of which it needs: a group of whisper-proxy.env. */
export interface Preset {
  /** The `<GROUP>` of its variable. */
  group: string;
  /** What it is for, as in "… come from all of these hosts". */
  what: string;
  /** As EGRESS_ALLOW takes them. */
  rules: readonly string[];
  /** As EGRESS_MAX_UPLOAD takes it; null where nobody can upload anything. */
  maxUpload: string | null;
}

/** whisper-proxy.env has the same groups; a test compares them. */
export const PRESETS: readonly Preset[] = [
  {
    // huggingface_hub: HF_ENDPOINT is huggingface.co, which redirects files to hosts below hf.co; hf_xet
    // asks cas-server.xethub.hf.co and transfer.xethub.hf.co; short links are https://hf.co/….
    group: 'HUGGINGFACE',
    what: 'models from Hugging Face',
    rules: ['huggingface.co', 'hf.co', '*.hf.co'],
    maxUpload: '256KiB',
  },
  {
    // openai/whisper: _MODELS in whisper/__init__.py.
    group: 'OPENAI',
    what: "the weights of OpenAI's whisper",
    rules: ['openaipublic.azureedge.net'],
    maxUpload: null,
  },
  {
    // github.com/OWNER/REPOSITORY/releases/download/… redirects to one of the other two.
    group: 'GITHUB',
    what: 'releases on GitHub',
    rules: ['github.com', 'objects.githubusercontent.com', 'release-assets.githubusercontent.com'],
    maxUpload: null,
  },
  {
    // The simple index (PEP 503) of pypi.org names files on files.pythonhosted.org.
    group: 'PYPI',
    what: 'Python packages',
    rules: ['pypi.org', 'files.pythonhosted.org'],
    maxUpload: null,
  },
];

/** The preset that has a rule for a name on port 443, or null. @param name canonical. */
export function presetFor(name: string): Preset | null {
  const covers = (rule: string) =>
    rule.startsWith('*.') ? name.endsWith(rule.slice(1)) : rule === name;
  return PRESETS.find(({ rules }) => rules.some(covers)) ?? null;
}
