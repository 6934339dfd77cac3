/**
 * A time as people read it here: local, with the day only where it is not today.
 * @param time ISO 8601.
 * @param now milliseconds since 1970.
 */
export function formatTime(time: string, now: number): string {
  const date = new Date(time);
  const clock = date.toTimeString().slice(0, 8);
  const [, month, day, year] = date.toDateString().split(' ');
  if (date.toDateString() === new Date(now).toDateString()) return clock;
  const isThisYear = date.getFullYear() === new Date(now).getFullYear();
  return isThisYear ? `${month} ${day} ${clock}` : `${month} ${day} ${year} ${clock}`;
}

/** The name of the local time, as in `UTC` or `GMT+1`. */
export function zoneName(now: number): string {
  const parts = new Intl.DateTimeFormat('en', { timeZoneName: 'short' }).formatToParts(now);
  return parts.find(({ type }) => type === 'timeZoneName')?.value ?? '';
}
