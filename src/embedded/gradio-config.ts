/** Before every path of the API but `/config`, since Gradio 5. */
export const API_PREFIX = '/gradio_api';

/** The only choice of the model input. */
export const MODEL = 'stand-in';

/** The endpoint's name; clients put a slash before it. */
export const API_NAME = 'transcribe';

/** The endpoint's index. */
export const FN_INDEX = 0;

export const TITLE = 'Whisper stand-in: not speech recognition';

// Clients take the version for the protocol's, so this is the Gradio that is imitated.
const GRADIO_VERSION = '5.49.1';

const FILE_SCHEMA = {
  type: 'object',
  properties: {
    path: { type: 'string' },
    orig_name: { type: 'string' },
    meta: { type: 'object' },
  },
  required: ['path'],
};

const FILES = {
  component: 'File',
  type: { type: 'array', items: FILE_SCHEMA },
  python_type: { type: 'list[filepath]', description: '' },
};

const INPUTS = [
  {
    ...FILES,
    label: 'Recordings',
    parameter_name: 'files',
    parameter_has_default: false,
    parameter_default: null,
    example_input: [],
  },
  {
    component: 'Dropdown',
    label: 'Model',
    parameter_name: 'model',
    parameter_has_default: true,
    parameter_default: MODEL,
    type: { type: 'string', enum: [MODEL] },
    python_type: { type: `Literal['${MODEL}']`, description: '' },
    example_input: MODEL,
  },
  {
    component: 'Checkbox',
    label: 'Timestamps',
    parameter_name: 'timestamps',
    parameter_has_default: true,
    parameter_default: false,
    type: { type: 'boolean' },
    python_type: { type: 'bool', description: '' },
    example_input: false,
  },
];

const OUTPUTS = [
  {
    component: 'Textbox',
    label: 'Transcript (stand-in)',
    type: { type: 'string' },
    python_type: { type: 'str', description: '' },
  },
  { ...FILES, label: 'Result files' },
];

/**
 * What Gradio answers to `/config`, as far as a client that calls the API looks at it.
 *
 * @param root the origin under which the client reaches the application
 */
export function gradioConfig(root: string) {
  const components = [...INPUTS, ...OUTPUTS].map(({ component, label }, id) => ({
    id,
    type: component.toLowerCase(),
    props: { label, interactive: id < INPUTS.length, visible: true },
  }));
  return {
    version: GRADIO_VERSION,
    api_prefix: API_PREFIX,
    app_id: 0,
    mode: 'blocks',
    title: TITLE,
    root,
    protocol: 'sse_v3',
    enable_queue: true,
    connect_heartbeat: true,
    space_id: null,
    is_space: false,
    username: null,
    analytics_enabled: false,
    show_api: true,
    show_error: true,
    components,
    dependencies: [
      {
        id: FN_INDEX,
        targets: [],
        inputs: INPUTS.map((_, index) => index),
        outputs: OUTPUTS.map((_, index) => INPUTS.length + index),
        backend_fn: true,
        queue: true,
        batch: false,
        api_name: API_NAME,
        show_api: true,
        cancels: [],
        connection: 'sse',
        types: { generator: false, cancel: false },
      },
    ],
  };
}

/** What Gradio answers to `/gradio_api/info`: the endpoint, its parameters and what it returns. */
export function gradioInfo() {
  return {
    named_endpoints: {
      [`/${API_NAME}`]: { parameters: INPUTS, returns: OUTPUTS, show_api: true },
    },
    unnamed_endpoints: {},
  };
}
