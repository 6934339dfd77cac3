/** A file as Gradio describes it to its clients (`FileData` in gradio/data_classes.py). */
export interface FileData {
  readonly path: string;
  readonly url: string;
  readonly size: number;
  readonly orig_name: string;
  readonly mime_type: string;
  readonly is_stream: false;
  readonly meta: { readonly _type: 'gradio.FileData' };
}

/** The outputs of a job, in the order that the API says, or why it failed. */
export type Outcome = { readonly data: [string, FileData[]] } | { readonly error: string };
