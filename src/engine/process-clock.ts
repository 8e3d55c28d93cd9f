/**
 * The monotonic clock that all threads of a process share, in ms: `performance.now()` counts from
 * the start of its own thread.
 */
const hrtimeMs = (): number => {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1_000 + nanoseconds / 1e6
}
const AHEAD_MS = hrtimeMs() - performance.now()

export const processMs = (): number => performance.now() + AHEAD_MS
export const wallMs = (): number => Date.now()
