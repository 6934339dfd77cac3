/** Fields of a message; what has more is refused. */
export const MAX_FIELDS = 1_000;

/**
 * As many as a server of Node's is to show (`maxHeadersCount`): one more, so that it is seen that there
 * are too many. Its parser heeds those behind them too, so nothing of such a message may be relied on.
 */
export const SHOWN_FIELDS = MAX_FIELDS + 1;
