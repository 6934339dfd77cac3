/** Bytes of a header, in both directions: uvicorn takes this much, and cookies of a log-in are long. */
export const MAX_HEADER_BYTES = 65_536;

/** Informational answers (1xx) to one request: one every 20 seconds for five hours. */
export const MAX_INFORMATIONAL = 1_000;
